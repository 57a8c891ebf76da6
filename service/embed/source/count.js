/**
 * <hamgate-count page-url="…">: how many comments a page has, asked for all of them at once.
 *
 * Attributes named like a plural form of the language give the words: one="# comment",
 * other="# comments", zero="No comments".
 */

const script = document.currentScript;
const HOST = new URL(script.src).origin;
const MOST = 100;
const waiting = new Set();

class HamgateCount extends HTMLElement {
  static observedAttributes = ["page-url"];

  connectedCallback() {
    if (!waiting.size) setTimeout(ask, 50);
    waiting.add(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.connectedCallback();
  }

  get page() {
    return new URL(this.getAttribute("page-url") || location, document.baseURI).href.split("#")[0];
  }

  show(count) {
    const lang = this.closest("[lang]")?.lang || navigator.language;
    const form = count ? new Intl.PluralRules(lang).select(count) : "zero";
    const words = this.getAttribute(form) || this.getAttribute("other") || "#";
    this.textContent = words.replace("#", count.toLocaleString(lang));
  }
}

async function ask() {
  const elements = [...waiting];
  waiting.clear();
  const bySite = Map.groupBy(elements, (one) => one.getAttribute("site") || script.dataset.site);
  for (const [site, ofSite] of bySite) {
    const pages = [...new Set(ofSite.map((one) => one.page))];
    for (let start = 0; start < pages.length; start += MOST) {
      const some = pages.slice(start, start + MOST);
      const query = new URLSearchParams(some.map((page) => ["page_url", page]));
      const answer = await fetch(`${HOST}/api/v1/sites/${site}/counts?${query}`, {
        credentials: "omit",
      });
      if (!answer.ok) return;
      const { counts } = await answer.json();
      for (const one of ofSite) if (one.page in counts) one.show(counts[one.page]);
    }
  }
}

customElements.get("hamgate-count") || customElements.define("hamgate-count", HamgateCount);
