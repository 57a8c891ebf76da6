/**
 * The line that a page includes: defines <hamgate-comments> and fetches the rest when it is needed.
 *
 * The one rule: nothing here shows anything. What is on the screen is made by `app.js`, which a
 * page pays for when its reader comes near the comments.
 */

const script = document.currentScript;
const HOST = script ? new URL(script.src).origin : "";
const VERSION = "__VERSION__"; // of the assets; the server fills it in
const NEAR = "400px";

class HamgateComments extends HTMLElement {
  static observedAttributes = [
    "site", "page-url", "page-title", "lang", "loading", "order", "host", "refresh",
  ];

  #running;
  #queued = false;
  #page;

  connectedCallback() {
    this.#restart();
  }

  disconnectedCallback() {
    this.#running?.abort();
  }

  attributeChangedCallback(name, before, after) {
    if (this.isConnected && before !== after) this.#restart();
  }

  /** Show the comments now: what `loading="manual"` waits for. */
  load() {
    this.#start(this.#running.signal);
  }

  /** Several attributes that change together are one change. */
  #restart() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      this.#running?.abort();
      if (this.isConnected) this.#wait();
    });
  }

  #wait() {
    const { signal } = (this.#running = new AbortController());
    const loading = this.getAttribute("loading");
    this.#page = this.#address();
    globalThis.navigation?.addEventListener(
      "navigatesuccess",
      () => this.#address() !== this.#page && this.#restart(),
      { signal },
    );
    if (loading === "manual") return;
    if (loading === "eager" || location.hash.startsWith("#hamgate-")) {
      this.#start(signal);
      return;
    }
    const near = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          near.disconnect();
          this.#start(signal);
        }
      },
      { rootMargin: NEAR },
    );
    near.observe(this);
    signal.addEventListener("abort", () => near.disconnect());
  }

  async #start(signal) {
    const host = this.getAttribute("host") || HOST;
    try {
      const { show } = await import(`${host}/embed/${VERSION}/app.js`);
      if (signal.aborted) return;
      await show(this, {
        host,
        site: this.getAttribute("site") || script?.dataset.site,
        page: this.#page,
        title: this.getAttribute("page-title") || document.title,
        signal,
      });
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Without the script or its messages there is only English to say so in. */
  #fail(error) {
    console.warn("hamgate:", error.message);
    const root = this.shadowRoot || this.attachShadow({ mode: "open" });
    const again = document.createElement("button");
    again.textContent = this.getAttribute("text-again") || "Try again";
    again.onclick = () => this.#restart();
    root.replaceChildren(
      this.getAttribute("text-failed") || "The comments could not be loaded.", " ", again,
    );
  }

  /** The page these comments belong to, without what comes after `#`. */
  #address() {
    const given = this.getAttribute("page-url") || document.querySelector("link[rel=canonical]")?.href;
    const address = new URL(given || location, document.baseURI);
    address.hash = "";
    return address.href;
  }
}

/** A page with nothing but the script gets the comments right behind it. */
function insert() {
  if (!script?.dataset.site || document.querySelector("hamgate-comments")) return;
  if (!document.body.contains(script)) return;
  const element = document.createElement("hamgate-comments");
  for (const { name, value } of script.attributes) {
    if (name.startsWith("data-")) element.setAttribute(name.slice(5), value);
  }
  script.after(element);
}

if (!customElements.get("hamgate-comments")) {
  customElements.define("hamgate-comments", HamgateComments);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", insert);
  else insert();
}
