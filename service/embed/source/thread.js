/** The list of comments: made once, then brought in line with what the server says. */

import { h, safe, web } from "./dom.js";
import { panel, writing } from "./form.js";
import { actions, tell } from "./own.js";

const DAY_MS = 86_400_000;
const DEEPEST = 4; // where the server stops counting, and the style stops moving in

/** Give what shows comments in `list`, each under its parent. */
export function thread(ctx, list) {
  const shown = new Map(); // id → { item, replies, update }

  /**
   * Show exactly these comments in this order; an element that is there is kept, with the form
   * that may be open in it.
   *
   * Returns the elements that were not there before.
   */
  function render(comments) {
    const fresh = [];
    const last = new Map(); // list → the element put there last
    const ids = new Set(comments.map(({ id }) => id));
    for (const [id, { item }] of shown) {
      if (!ids.has(id)) {
        item.remove();
        shown.delete(id);
      }
    }
    for (const comment of comments) {
      let entry = shown.get(comment.id);
      if (!entry) {
        entry = make(ctx, comment.id, shown);
        shown.set(comment.id, entry);
        fresh.push(entry.item);
      }
      entry.update(comment, ctx.own.get(comment.id));
      const into = shown.get(comment.parent_id)?.replies || list;
      const after = last.get(into);
      const place = after ? after.nextSibling : into.firstChild;
      if (place !== entry.item) into.insertBefore(entry.item, place);
      last.set(into, entry.item);
    }
    return fresh;
  }

  /** Bring a comment into view and say which it is; false if it is not here. */
  function reveal(id) {
    const entry = shown.get(id);
    if (!entry) return false;
    list.querySelector(".target")?.classList.remove("target");
    entry.item.classList.add("target");
    const article = entry.item.firstChild;
    article.scrollIntoView({ block: "center" });
    article.focus({ preventScroll: true });
    return true;
  }

  /** Say anew how long ago the comments of the last day were written. */
  function age() {
    const since = Date.now() - DAY_MS;
    for (const { tick } of shown.values()) tick(since);
  }

  return { render, reveal, age };
}

function make(ctx, id, shown) {
  const { say, words } = ctx;
  const name = h("bdi", { id, part: "name" });
  const time = h("time");
  const edited = h("span", { part: "edited" });
  const parent = h("a", { part: "parent" });
  const body = h("div", { part: "body", dir: "auto" });
  const state = h("p", { part: "state" });
  const buttons = h("div", { part: "actions" });
  const room = h("div");
  const replies = h("ol", { part: "replies" });
  const article = h("article", { tabindex: "-1", part: "comment", "aria-labelledby": id },
    h("header", { part: "meta" }, name,
      h("a", { href: `#hamgate-${id}`, part: "permalink" }, time), parent, edited),
    body, state, buttons, room);
  let before, date;

  /** Open a form below the comment, or close it again; the focus comes back to its button. */
  function open(button, make) {
    const close = () => {
      room.replaceChildren();
      delete room.of;
      if (button.isConnected) button.focus();
      else article.focus();
    };
    if (room.of === button.part.value) return close();
    room.of = button.part.value;
    const form = make(close);
    form.ariaLabel = button.textContent;
    room.replaceChildren(form);
    form.addEventListener("keydown", (event) => event.key === "Escape" && close());
    const controls = [...form.querySelectorAll("[part=input]")];
    (controls.find((one) => one.required && !one.value) || controls.at(-1) || form.querySelector("button")).focus();
  }

  const reply = () => h("button", {
    part: "button reply", "aria-describedby": id, onclick: ({ target }) => open(target, (cancel) =>
      writing(ctx, { parent: id, cancel, async sent(answer) {
        cancel();
        await ctx.posted(answer);
      } })),
  }, say("reply"));
  const report = () => h("button", {
    part: "button report", "aria-describedby": id, onclick: ({ target }) => open(target, (cancel) =>
      panel(ctx, {
        name: "reason", question: "report-why", submit: "send", cancel,
        async send(body) {
          await ctx.ask(`comments/${id}/reports`, { method: "POST", body });
          cancel();
          ctx.announce(say("reported"));
        },
      })),
  }, say("report"));

  function update(comment, own) {
    const now = JSON.stringify([comment, own, ctx.closed]);
    if (now === before) return;
    before = now;
    date = new Date(comment.created_at);
    const url = web(comment.url);
    name.replaceChildren(
      url ? h("a", { href: url, rel: "nofollow ugc noopener" }, comment.name) : comment.name);
    time.dateTime = comment.created_at;
    time.title = words.when(date);
    // Those too deep to be moved in further name the comment that they answer.
    const answered = comment.depth >= DEEPEST && shown.get(comment.parent_id);
    parent.replaceChildren(...(answered ? ["↪ ", h("bdi", {}, answered.name.textContent)] : []));
    parent.href = `#hamgate-${comment.parent_id}`;
    parent.hidden = !answered;
    edited.textContent = comment.edited_at ? say("edited") : "";
    if (comment.html == null) body.replaceChildren(h("p", { class: "plain" }, comment.body));
    else body.replaceChildren(safe(comment.html));
    state.replaceChildren(...(own ? tell(ctx, own) : []));
    article.classList.toggle("own", !!own);
    const approved = !own || own.status === "approved";
    buttons.replaceChildren(...[
      approved && !ctx.closed && reply(),
      ...(own ? actions(ctx, own, open) : [report()]),
    ].filter(Boolean));
    tick();
  }

  function tick(since = 0) {
    if (date < since) return;
    const ago = words.ago(date);
    if (time.textContent !== ago) time.textContent = ago;
  }

  return { item: h("li", {}, article, replies), name, replies, update, tick };
}
