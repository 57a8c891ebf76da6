// The queue with the keyboard, and without a reload. The page works without this file: it sends
// the page's own forms in the background and shows what came of them.

const queue = document.getElementById("queue");
const said = document.getElementById("said");
const undo = document.getElementById("undo");
const bulk = document.getElementById("bulk");
const keys = document.getElementById("keys");
const waiting = document.getElementById("waiting");
const FEW = 8;
const DONE = { approved: "approved", spam: "marked as spam", rejected: "rejected" };

let current = null;
let wholeNext = false;
let soon = 0;
let refilling = false;
let last = null; // the act that can be undone, with the cards it took away

const cards = () => [...queue.querySelectorAll("article")];

function select(card, { focus = true } = {}) {
  current?.removeAttribute("aria-current");
  current = card;
  clearTimeout(soon);
  soon = setTimeout(look, 400);
  if (!card) return;
  card.setAttribute("aria-current", "true");
  if (focus) card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const all = cards();
  const place = all.indexOf(current) + by;
  if (all.length) select(all[Math.min(Math.max(place, 0), all.length - 1)]);
}

function say(text, { canUndo = false } = {}) {
  said.querySelector("span").textContent = text;
  undo.hidden = !canUndo;
  said.hidden = false;
}

function count(change) {
  const shown = waiting.textContent.trim();
  if (shown.includes("+")) return;
  const left = Math.max(0, Number(waiting.dataset.count) + change);
  waiting.dataset.count = left;
  waiting.textContent = `${left} waiting`;
}

function take(ids) {
  const taken = [];
  const next = followingOf(ids);
  for (const id of ids) {
    const card = document.getElementById(id);
    if (!card) continue;
    const item = card.closest("li");
    taken.push({ item, before: item.nextElementSibling });
    item.remove();
  }
  select(next);
  document.getElementById("empty").hidden = cards().length > 0;
  return taken;
}

function followingOf(ids) {
  const all = cards();
  const start = Math.max(0, all.indexOf(current));
  const left = (card) => !ids.includes(card.id);
  return all.slice(start).find(left) ?? all.slice(0, start).reverse().find(left) ?? null;
}

function putBack(taken) {
  for (const { item, before } of taken.reverse()) {
    if (before?.isConnected) before.before(item);
    else queue.append(item);
  }
  document.getElementById("empty").hidden = cards().length > 0;
}

async function send(form, extra) {
  const body = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(extra)) body.set(name, value);
  const answer = await fetch(form.action, {
    method: "POST",
    body,
    headers: { Accept: "application/json" },
  });
  if (answer.redirected || answer.status === 401) {
    location.reload();
    throw new Error("signed out");
  }
  if (!answer.ok) throw new Error(`the server said ${answer.status}`);
  return answer.json();
}

async function decide(form, status) {
  const picked = [...new FormData(form).getAll("item")].map((item) => item.split(":")[0]);
  const campaign = form.elements.campaign ? form.closest("article") : null;
  const ids = campaign ? [campaign.id] : picked;
  if (!ids.length) return say("Nothing is picked.");
  const body = new FormData(form); // before the cards leave the page, and their boxes with them
  const taken = take(ids); // at once; what the server refuses comes back
  const frozen = document.createElement("form");
  frozen.action = form.action;
  for (const [name, value] of body) {
    const field = document.createElement("input");
    field.name = name;
    field.value = value;
    frozen.append(field);
  }
  try {
    const answer = await send(frozen, { status });
    const refused = Object.entries(answer.refused);
    const stayed = taken.filter(({ item }) => item.querySelector("article").id in answer.refused);
    putBack(stayed);
    for (const { item } of stayed) leaveAlone(item.querySelector("article"), answer.refused);
    count(-answer.done.length);
    last = { act: answer.act_id, taken: taken.filter((one) => !stayed.includes(one)), many: answer.done.length };
    const left = refused.length
      ? `; ${refused.length} left alone: ${refused[0][1]}`
      : "";
    say(`${answer.done.length} ${DONE[status]}${left}`, { canUndo: answer.done.length > 0 });
    refill();
  } catch (error) {
    putBack(taken);
    select(taken[0]?.item.querySelector("article") ?? null);
    say(`Nothing was done: ${error.message}`);
  }
}

// What somebody else has changed is no longer what was looked at: it is looked at anew.
function leaveAlone(card, refused) {
  card.classList.add("changed");
  card.querySelector("footer")?.remove();
  card.querySelector(".pick")?.remove();
  const why = document.createElement("p");
  why.className = "meanwhile";
  why.textContent = refused[card.id];
  card.append(why);
}

async function takeBack() {
  if (!last?.act) return undo.hidden ? undefined : undo.submit();
  const { act, taken, many } = last;
  const form = document.createElement("form");
  form.action = undo.action.replace(/acts\/[^/]+\/undo$/, `acts/${act}/undo`);
  for (const field of undo.querySelectorAll("input")) form.append(field.cloneNode());
  try {
    const answer = await send(form, {});
    last = null;
    for (const { item } of taken) renew(item);
    putBack(taken);
    count(answer.done.length);
    select(taken[0]?.item.querySelector("article") ?? null);
    const left = many - answer.done.length;
    say(`${answer.done.length} put back${left ? `; ${left} were decided anew meanwhile` : ""}`);
  } catch (error) {
    say(`Not undone: ${error.message}`);
  }
}

// A decision and its undoing have each moved the comment's version on by one.
function renew(item) {
  for (const field of item.querySelectorAll('input[name="item"]')) {
    const [id, version] = field.value.split(":");
    field.value = `${id}:${Number(version) + 2}`;
    field.checked = false;
  }
}

// What follows is there before the last card is decided, so that nobody waits for a page.
async function refill() {
  const more = document.getElementById("more");
  if (!more || refilling || cards().length > FEW) return;
  refilling = true;
  try {
    const answer = await fetch(more.href);
    if (!answer.ok || answer.redirected) return; // the link stays, and tells a person why
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const item of page.querySelectorAll("#queue > li")) {
      const known = document.getElementById(item.querySelector("article").id);
      if (!known) queue.append(document.adoptNode(item));
    }
    const after = page.getElementById("more");
    if (after) more.href = after.href;
    else more.parentElement.remove();
    document.getElementById("empty").hidden = cards().length > 0;
    if (!current) select(cards()[0] ?? null);
  } catch {
    // The network is away; the link stays.
  } finally {
    refilling = false;
  }
}

function pickedBoxes() {
  return [...queue.querySelectorAll('input[type="checkbox"]:checked')];
}

function showPicked() {
  if (!bulk) return;
  const many = pickedBoxes().length;
  document.getElementById("picked").textContent = many ? `${many} picked:` : "Picked:";
  bulk.classList.toggle("active", many > 0);
}

function decideByKey(status) {
  if (pickedBoxes().length) return decide(bulk, status);
  if (!current) return step(0);
  const whole = wholeNext && current.querySelector("form.whole");
  wholeNext = false;
  const form = whole || current.querySelector("form.one");
  if (form) decide(form, status);
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  n: () => step(1),
  a: () => decideByKey("approved"),
  s: () => decideByKey("spam"),
  r: () => decideByKey("rejected"),
  u: takeBack,
  x: () => {
    const box = current?.querySelector('input[type="checkbox"]');
    if (box) box.checked = !box.checked;
    showPicked();
  },
  w: () => {
    const why = current?.querySelector("details");
    if (why) why.open = !why.open;
  },
  c: () => {
    wholeNext = Boolean(current?.querySelector("form.whole"));
    say(wholeNext ? "The next key decides on the whole campaign." : "This is no campaign.");
  },
  o: () => current?.querySelector("a.open")?.click(),
  "?": () => (keys.open ? keys.close() : keys.showModal()),
};

// Tells colleagues which comment is looked at here, and shows what they look at.
async function look() {
  if (document.hidden) return;
  const body = new URLSearchParams({ comment: current?.id ?? "", csrf_token: queue.dataset.token });
  try {
    const answer = await fetch(queue.dataset.presence, { method: "POST", body });
    if (!answer.ok || answer.redirected) return;
    const { others } = await answer.json();
    for (const card of cards()) {
      const names = others[card.id] ?? [];
      const mark = card.querySelector(".looking");
      const words = names.length ? `${names.join(", ")} looking` : "";
      if (mark.textContent !== words) mark.textContent = words;
      mark.hidden = !names.length;
    }
  } catch {
    // The network is away for a moment; the next look tells it all again.
  }
}

function isTyping(target) {
  return (
    target.isContentEditable ||
    target.matches("textarea, select, input:not([type=checkbox]):not([type=hidden])")
  );
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isTyping(event.target) || (keys.open && event.key !== "?")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form === undo) {
    if (!last?.act) return;
    event.preventDefault();
    takeBack();
  } else if (form === bulk || form.matches("form.one, form.whole")) {
    event.preventDefault();
    decide(form, event.submitter?.value);
  }
});

queue.addEventListener("change", showPicked);
queue.addEventListener("click", (event) => {
  const card = event.target.closest("article");
  if (card) select(card, { focus: false });
});
queue.addEventListener("focusin", (event) => {
  const card = event.target.closest("article");
  if (card && card !== current) select(card, { focus: false });
});

document.getElementById("keys-open").hidden = false;
document.getElementById("keys-open").addEventListener("click", KEYS["?"]);
const pickAll = document.getElementById("pick-all");
if (pickAll) {
  pickAll.hidden = false;
  pickAll.addEventListener("click", () => {
    const boxes = [...queue.querySelectorAll('input[type="checkbox"]')];
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
    showPicked();
  });
}
select(cards()[0] ?? null, { focus: false });
showPicked();
setInterval(look, 5000);
document.addEventListener("visibilitychange", look);
