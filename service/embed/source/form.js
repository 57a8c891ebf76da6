/** Forms: each asks the server for one thing and says beside its fields what was wrong. */

import { challenges } from "./challenge.js";
import { h, safe } from "./dom.js";
import { Problem } from "./server.js";

let numbers = 0;

/** Make a labelled control with room for a hint and a complaint. */
function field(ctx, name, { control = "input", hint, label = `label-${name}`, ...attributes }) {
  const id = `hg${++numbers}`;
  const input = h(control, { id, name, part: "input", ...attributes });
  const error = h("p", { id: `${id}e`, part: "error" });
  const aside = hint && h("p", { id: `${id}h`, part: "hint" }, hint);
  const described = (ids) => ids ? input.setAttribute("aria-describedby", ids) : 0;
  described(aside?.id);
  return {
    name,
    input,
    row: h("div", { part: `field field-${name}` },
      h("label", { for: id, part: "label" }, ctx.say(label)), input, aside, error),
    complain(message) {
      error.textContent = message || "";
      input.ariaInvalid = message ? "true" : null;
      described([message && error.id, aside?.id].filter(Boolean).join(" "));
    },
  };
}

/**
 * Make a form around fields.
 *
 * `send` gets their values and may throw a Problem: then everything typed stays where it is.
 */
function asking(ctx, { label, fields = [], extras, buttons, submit, send, cancel }) {
  const problem = h("p", { role: "alert", part: "problem" });
  const button = h("button", { part: "button submit" }, submit);
  const form = h("form", { part: "form", novalidate: true, "aria-label": label, onsubmit },
    fields.map((one) => one.row), extras, problem,
    h("div", { part: "actions" }, button, buttons,
      cancel && h("button", { type: "button", part: "button", onclick: cancel }, ctx.say("cancel"))));

  async function onsubmit(event) {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    problem.textContent = "";
    try {
      for (const one of fields) one.complain();
      const empty = fields.filter(({ input }) => input.required && !input.value.trim());
      if (empty.length) {
        const errors = empty.map(({ name }) => ({ pointer: `/${name}`, said: ctx.say("required") }));
        throw new Problem("invalid", { errors });
      }
      await send(Object.fromEntries(fields.map(({ name, input }) => [name, input.value.trim()])));
      button.textContent = submit;
    } catch (error) {
      if (ctx.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      tell(error);
    } finally {
      form.ariaBusy = null;
    }
  }

  function tell(error) {
    const bad = fields.filter((one) => {
      const fault = error.errors.find(({ pointer }) => pointer === `/${one.name}`);
      if (fault) one.complain(fault.said || ctx.fault(one.name, fault.message));
      return fault;
    });
    if (bad.length) return bad[0].input.focus();
    problem.textContent = ctx.explain(error);
    button.textContent = ctx.say("again");
  }

  return form;
}

/** The form for a new comment, or with `parent` for a reply; what is typed outlives a reload. */
export function writing(ctx, { parent, sent, cancel }) {
  const { say, store } = ctx;
  let draft = store.draft(parent) || { ...ctx.author };
  const challenge = challenges(ctx);
  const body = field(ctx, "body", {
    control: "textarea", rows: 5, required: true, maxlength: 10_000, hint: say("hint-body"),
  });
  const fields = [
    field(ctx, "name", { required: true, autocomplete: "name", maxlength: 80 }),
    field(ctx, "email", {
      type: "email", required: true, autocomplete: "email", maxlength: 254, hint: say("hint-email"),
    }),
    field(ctx, "url", { type: "url", autocomplete: "url", inputmode: "url", maxlength: 2000 }),
    body,
  ];
  const trap = h("input", { name: "honeypot", tabindex: "-1", autocomplete: "off" });
  const preview = h("div", { part: "preview", role: "region", "aria-label": say("preview"),
    "aria-live": "polite", hidden: true });

  async function show() {
    body.complain(!body.input.value.trim() && say("required"));
    if (!body.input.value.trim()) return body.input.focus();
    try {
      const { html } = await ctx.ask(`sites/${ctx.site}/markdown`, {
        method: "POST", body: { body: body.input.value },
      });
      preview.replaceChildren(safe(html));
    } catch (error) {
      if (ctx.signal.aborted) return;
      preview.replaceChildren(ctx.explain(error));
    }
    preview.hidden = false;
  }

  async function send(values) {
    const content = { ...values, parent_id: parent, page_url: ctx.page, honeypot: trap.value };
    for (const key in content) if (!content[key]) delete content[key];
    // The same text is the same comment, however often it is sent; another text is another one.
    const text = JSON.stringify(content);
    if (draft.tried?.text !== text) {
      draft.tried = { text, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    }
    draft.tried.altcha ??= await challenge.take();
    store.saveDraft(parent, draft);
    const { key, altcha } = draft.tried;
    const answer = await ctx.ask(`sites/${ctx.site}/comments`, {
      method: "POST",
      body: { ...content, page_title: ctx.title.slice(0, 300), altcha, author_token: store.author() },
      headers: { "Idempotency-Key": key, Prefer: "wait=2" },
    });
    store.remember(answer.id, answer.receipt);
    store.saveDraft(parent);
    const { name, email, url } = values;
    draft = { name, email, url };
    ctx.author = { ...draft };
    body.input.value = "";
    preview.hidden = true;
    await sent(answer);
  }

  const form = asking(ctx, {
    label: say("write"),
    fields,
    extras: [h("div", { class: "trap", "aria-hidden": "true" }, trap), preview],
    buttons: h("button", { type: "button", part: "button", onclick: show }, say("preview")),
    submit: say("submit"),
    send,
    cancel,
  });
  for (const { name, input } of fields) input.value = draft[name] || "";
  form.addEventListener("focusin", challenge.begin);
  if (draft.body) challenge.begin();
  form.addEventListener("input", () => {
    for (const { name, input } of fields) draft[name] = input.value;
    store.saveDraft(parent, draft);
  });
  return form;
}

/** A small form that asks for a text, or with no `name` only whether to go on. */
export function panel(ctx, { name, value, question, submit, send, cancel }) {
  const one = name && field(ctx, name, {
    control: "textarea", rows: 3, required: true, maxlength: name === "body" ? 10_000 : 1000,
    label: question,
  });
  if (value) one.input.value = value;
  return asking(ctx, {
    fields: one ? [one] : [],
    extras: !one && h("p", {}, ctx.say(question)),
    submit: ctx.say(submit),
    send,
    cancel,
  });
}
