/** The comments of one page: what is on the screen and when the server is asked. */

import { h } from "./dom.js";
import { writing } from "./form.js";
import { look, take } from "./own.js";
import { connect } from "./server.js";
import { keep } from "./store.js";
import css from "./style.css";
import { thread } from "./thread.js";
import { learn } from "./words.js";

const SLOWER = 1.5;
const SLOWEST_SECONDS = 120;
const sheet = new CSSStyleSheet();
sheet.replaceSync(css);

/** Show the comments in an element until `signal` ends it. */
export async function show(element, { host, site, page, title, signal }) {
  const root = element.shadowRoot || element.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  const ask = connect(host, signal);
  let order = element.getAttribute("order") === "newest" ? "newest" : "oldest";
  let at = linked(); // the comment that a permalink leads to, as long as its page is the first one
  let early = fetchFirst(); // while the words are fetched
  early.catch(() => {}); // told by who waits for it
  const words = await learn(element, signal);
  if (signal.aborted) return;
  const { say } = words;
  const ctx = {
    site, page, title, signal, words, say,
    ask,
    store: keep(site, page),
    own: new Map(),
    author: {},
    explain: (error) =>
      say(`problem-${error.kind}`, { n: error.retryAfter || 10 }) || error.message,
    // The server speaks English; in other languages each field has one sentence of its own.
    fault: (name, message) =>
      (words.language !== "en" && say(`fault-${name}`)) || message,
    announce: (text) => (live.textContent = text),
    refresh: () => inTurn(() => refresh().finally(render)),
    posted,
  };

  // Who confirmed an address comes back from our page with a code, good for this once.
  const [, code] = location.hash.split(`#hamgate-author-${site}=`);
  if (code) history.replaceState(history.state, "", location.pathname + location.search);

  let pages = [];
  let timer;
  let turnOver = Promise.resolve();
  const calm = Number(element.getAttribute("refresh") ?? 15);
  let pause = calm;

  const live = h("p", { role: "status", class: "unseen" });
  const heading = h("h2", { part: "title", tabindex: "-1" }, say("title"));
  const problem = h("div", { part: "problem", role: "alert" });
  const all = h("button", { part: "button all", hidden: true, onclick: () => turn(order) }, say("all"));
  const list = h("ol", { part: "thread" });
  const place = h("div");
  const more = h("button", { part: "button more", hidden: true, onclick: loadMore }, say("more"));
  const orders = ["oldest", "newest"].map((one) =>
    h("button", { part: "button order", "aria-pressed": String(one === order), onclick: () => turn(one) },
      say(one)));
  const view = thread(ctx, list);
  root.replaceChildren(
    h("section", { part: "root", lang: words.language, dir: words.direction },
      h("header", { part: "header" }, heading,
        h("div", { role: "group", "aria-label": say("order"), part: "actions" }, orders)),
      place, problem, live, all, list, more));

  async function fetchPage(after) {
    const where = after ? { after } : at && { at };
    const query = new URLSearchParams({ page_url: page, order, ...where });
    return ask(`sites/${site}/thread?${query}`);
  }

  /** Fetch the first page: that of the permalink's comment, if it is public. */
  async function fetchFirst() {
    try {
      return await fetchPage();
    } catch (error) {
      if (!at || error.kind !== "not-found") throw error;
      at = undefined;
      return fetchPage();
    }
  }

  /** Give all comments to show: the server's, and of the reader's own those that only they see. */
  function comments() {
    const found = pages.flatMap((one) => one.comments);
    const known = new Set(found.map(({ id }) => id));
    const own = [...ctx.own.values()].filter(({ id }) => !known.has(id));
    const first = order === "newest" ? own.filter(({ parent_id }) => !parent_id) : [];
    return [...first, ...found, ...own.filter((one) => !first.includes(one))];
  }

  function render() {
    const { count, closed, before, next } = { ...pages[0], next: pages.at(-1)?.next };
    ctx.closed = closed;
    heading.textContent = count ? say("count", { n: count }) : say("title");
    if (closed) place.replaceChildren(h("p", { part: "closed" }, say("problem-closed")));
    else if (!place.firstChild?.matches("form")) place.replaceChildren(writing(ctx, { sent: posted }));
    all.hidden = !before;
    more.hidden = !next;
    return view.render(comments());
  }

  /** Let one look at the server end before the next begins, so that none undoes another's. */
  function inTurn(work) {
    return (turnOver = turnOver.then(work, work));
  }

  /** Take over what has changed on the pages that are shown; true if anything has. */
  async function refresh() {
    const [before] = pages;
    const asked = early || fetchFirst();
    early = undefined;
    const first = await asked;
    const changed = first.version !== before?.version || first.closed !== before.closed;
    problem.replaceChildren();
    if (changed) {
      const fetched = [first];
      while (fetched.length < pages.length && fetched.at(-1).next) {
        fetched.push(await fetchPage(fetched.at(-1).next));
      }
      pages = fetched;
      const fresh = render().length;
      if (fresh && before) ctx.announce(say("arrived", { n: fresh }));
    }
    const waiting = [...ctx.own.values()].filter(({ status }) => status === "pending");
    if (await look(ctx, changed ? undefined : waiting.map(({ id }) => id))) render();
    view.age();
    return changed;
  }

  async function posted(answer) {
    const receipt = ctx.store.receipts()[answer.id];
    if (answer.body) take(ctx, answer, receipt);
    else await look(ctx, [answer.id]);
    pause = calm;
    await ctx.refresh();
    ctx.announce(say(`state-${ctx.own.get(answer.id)?.status || answer.status}`));
    view.reveal(answer.id);
  }

  function loadMore() {
    return attempt(async () => {
      pages.push(await fetchPage(pages.at(-1).next));
      render()[0]?.firstChild.focus();
    });
  }

  function turn(to) {
    order = to;
    at = undefined;
    for (const [index, one] of ["oldest", "newest"].entries()) {
      orders[index].ariaPressed = String(one === to);
    }
    return attempt(refetch);
  }

  /** Do something with the server; what goes wrong is said above the comments, with a way on. */
  async function attempt(work) {
    try {
      await inTurn(work);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      if (!error.kind) throw error;
      pause = Math.max(pause, error.retryAfter || 0);
      problem.replaceChildren(ctx.explain(error), " ",
        h("button", { part: "button", onclick: () => attempt(refresh) }, say("again")));
      return false;
    }
  }

  /** Ask again after a pause that grows while nothing happens; not at all while nobody looks. */
  function schedule() {
    clearTimeout(timer);
    if (!calm || document.hidden || signal.aborted) return;
    timer = setTimeout(async () => {
      await attempt(async () => {
        const waits = [...ctx.own.values()].some(({ status }) => status === "pending");
        pause = (await refresh()) || waits ? calm : Math.min(pause * SLOWER, SLOWEST_SECONDS);
      });
      schedule();
    }, pause * 1000);
  }

  async function goToLink() {
    const id = linked();
    if (!id || view.reveal(id)) return;
    at = id;
    if (await attempt(refetch)) view.reveal(id);
  }

  async function refetch() {
    pages = [await fetchFirst()];
    render();
  }

  signal.addEventListener("abort", () => clearTimeout(timer));
  const listen = (target, event, listener) => target.addEventListener(event, listener, { signal });
  listen(document, "visibilitychange", () => {
    pause = calm;
    if (calm && !document.hidden) attempt(refresh).then(schedule);
    else schedule();
  });
  listen(window, "online", () => attempt(refresh));
  listen(window, "hashchange", goToLink);

  render();
  await attempt(refresh);
  if (code) {
    await attempt(async () => {
      const known = await ctx.ask(`sites/${site}/authors`, { method: "POST", body: { code } });
      ctx.store.saveAuthor(known.author_token);
    });
  }
  await goToLink();
  schedule();
}

/** The comment that the page's address leads to, if any. */
const linked = () => location.hash.match(/^#hamgate-(\w+)$/)?.[1];
