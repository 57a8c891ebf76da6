/** What became of the reader's own comments, and what they can do about it. */

import { h } from "./dom.js";
import { panel } from "./form.js";

/** Ask for the state of each of the reader's comments on this page; give them by id. */
export async function look(ctx, ids) {
  const receipts = ctx.store.receipts();
  await Promise.all(
    Object.entries(receipts)
      .filter(([id]) => !ids || ids.includes(id))
      .map(async ([id, receipt]) => {
        try {
          take(ctx, await ctx.ask(`comments/${id}`, { receipt }), receipt);
        } catch (error) {
          if (ctx.signal.aborted) throw error;
          if (error.kind === "not-found") lose(ctx, id);
        }
      }),
  );
}

/** Keep what the server said of an own comment. */
export function take(ctx, state, receipt) {
  if (state.status === "deleted") lose(ctx, state.id);
  else ctx.own.set(state.id, { ...state, receipt });
}

function lose(ctx, id) {
  ctx.own.delete(id);
  ctx.store.forget(id);
}

/** Say what the state of an own comment is, and why, in the reader's words where there are any. */
export function tell(ctx, { status, decision }) {
  const why = decision && (ctx.say(`rule-${decision.rule}`) || decision.reason);
  return [
    h("strong", {}, ctx.say(`state-${status}`)),
    status !== "approved" && why && [" ", h("span", { part: "reason" }, why)],
  ].flat();
}

/** Give the buttons that an author has for their comment. */
export function actions(ctx, state, open) {
  const path = `comments/${state.id}`;
  const { receipt } = state;
  const button = (word, make) =>
    h("button", { part: `button ${word}`, onclick: (event) => open(event.target, make) }, ctx.say(word));
  const done = async (words) => {
    await ctx.refresh();
    ctx.announce(ctx.say(words));
  };
  return [
    Date.parse(state.editable_until) > Date.now() && button("edit", (cancel) => panel(ctx, {
      name: "body", value: state.body, question: "label-body", submit: "save", cancel,
      async send(body) {
        await ctx.ask(path, { method: "PATCH", receipt, body });
        cancel();
        await look(ctx, [state.id]);
        await done("saved");
      },
    })),
    button("withdraw", (cancel) => panel(ctx, {
      question: "withdraw-sure", submit: "withdraw", cancel,
      async send() {
        await ctx.ask(path, { method: "DELETE", receipt });
        lose(ctx, state.id);
        await done("withdrawn");
      },
    })),
    ["rejected", "spam"].includes(state.status) && !state.appealed_at &&
      button("appeal", (cancel) => panel(ctx, {
        name: "reason", question: "appeal-why", submit: "send", cancel,
        async send(body) {
          await ctx.ask(`${path}/appeals`, { method: "POST", receipt, body });
          cancel();
          await look(ctx, [state.id]);
          await done("appealed");
        },
      })),
    state.appealed_at && h("span", {}, ctx.say("appealed")),
  ];
}
