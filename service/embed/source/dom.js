/**
 * Elements, and the only way in for HTML that the server made.
 *
 * The one rule: no string becomes markup by `innerHTML`. What the server renders is safe already;
 * here it is taken apart and only what is on the list is built anew.
 */

const KEPT = new Set(
  "p br hr em strong b i del s code pre blockquote ul ol li a h1 h2 h3 h4 h5 h6".split(" "),
);
const LEFT_OUT = new Set("script style template iframe object svg math noscript".split(" "));

/** Make an element; `onclick` and the like are listeners, `true` is an attribute without value. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child || child === 0));
  return element;
}

/** Build what is on the list from HTML; of the rest, only the text. */
export function safe(html) {
  const built = document.createDocumentFragment();
  copy(new DOMParser().parseFromString(html, "text/html").body, built);
  return built;
}

function copy(from, to) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE || LEFT_OUT.has(node.localName)) continue;
    if (!KEPT.has(node.localName)) {
      copy(node, to);
      continue;
    }
    const made = document.createElement(node.localName);
    const url = node.localName === "a" && web(node.getAttribute("href"));
    if (url) {
      made.href = url;
      made.rel = "nofollow ugc noopener";
    }
    copy(node, made);
    to.append(made);
  }
}

/** Give an absolute http(s) address as it is, anything else as nothing. */
export function web(address) {
  return /^https?:\/\//i.test(address) && URL.canParse(address) ? address : undefined;
}
