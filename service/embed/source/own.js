/** What became of the reader's own comments, and what they can do about it. */

import { h } from "./dom.js";
import { panel } from "./form.js";

const MOST = 20;
const GONE = ["not-found", "unauthenticated"];

/**
 * Ask for the state of the reader's latest comments on this page, or of those that are named.
 *
 * Returns how many there are.
 */
export async function look(ctx, ids) {
  const receipts = Object.entries(ctx.store.receipts())
    .filter(([id]) => !ids || ids.includes(id))
    .slice(-MOST);
  await Promise.all(
    receipts
      .map(async ([id, receipt]) => {
        try {
          take(ctx, await ctx.ask(`comments/${id}`, { receipt }), receipt);
        } catch (error) {
          if (!GONE.includes(error.kind)) throw error;
          lose(ctx, id);
        }
      }),
  );
  return receipts.length;
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
  const said = [h("strong", {}, ctx.say(`state-${status}`))];
  const why = decision && (ctx.say(`rule-${decision.rule}`) || decision.reason);
  if (why && status !== "approved") said.push(" ", h("span", { part: "reason" }, why));
  return said;
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
    state.confirmable && button("confirm", (cancel) => panel(ctx, {
      question: "confirm-why", submit: "send", cancel,
      async send() {
        await ctx.ask(`${path}/confirmations`, {
          method: "POST", receipt, body: { language: ctx.words.language },
        });
        cancel();
        await look(ctx, [state.id]);
        await done("confirm-sent");
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
