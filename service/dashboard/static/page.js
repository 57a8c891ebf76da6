// A form of a page, without a reload. The page works without this file: it sends the page's own
// forms in the background and puts the page that is answered in place of the present one.

window.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || !form.closest("main")) return;
  event.preventDefault();
  if (form.ariaBusy) return; // pressed twice
  form.ariaBusy = "true";
  send(form, event.submitter);
});

async function send(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  try {
    await show(await fetch(form.action, { method: "POST", body }));
  } catch (error) {
    form.ariaBusy = null;
    warn(`It may not have been done: ${error.message}. Try again.`);
  }
}

async function show(answer) {
  const page = read(await answer.text());
  if (answer.redirected) {
    if (needsMore(page)) return location.assign(answer.url);
    if (answer.url !== location.href) history.pushState(null, "", answer.url);
  }
  document.title = page.title;
  document.body.replaceWith(document.adoptNode(page.body));
  scrollTo(0, 0);
  const fault = document.querySelector("[aria-invalid=true]");
  (fault ?? document.getElementById("main")).focus({ preventScroll: !fault });
  begin();
}

const read = (text) => new DOMParser().parseFromString(text, "text/html");

// Scripts and styles begin on a page that is gone to; they would not begin on one that is put here.
function needsMore(page) {
  const assets = (of) => [...of.head.querySelectorAll("script, link")].map((one) => one.outerHTML);
  const here = assets(document);
  return assets(page).some((one) => !here.includes(one));
}

function warn(text) {
  const said = document.createElement("p");
  said.className = "notice bad";
  said.setAttribute("role", "alert");
  said.textContent = text;
  document.getElementById("main").prepend(said);
}

// A slider beside a number; the number alone is sent.
function slide() {
  for (const slider of document.querySelectorAll("[data-slides]")) {
    const number = document.getElementById(slider.dataset.slides);
    slider.hidden = false;
    slider.value = number.value;
    slider.addEventListener("input", () => (number.value = slider.value));
    number.addEventListener("input", () => (slider.value = number.value));
  }
}

// A page that waits for a worker is looked at again until it has the answer.
function wait() {
  if (document.querySelector("[data-again]")) setTimeout(again, 1000);
}

async function again() {
  try {
    const page = read(await (await fetch(location.href)).text());
    document.getElementById("main").replaceWith(document.adoptNode(page.getElementById("main")));
  } catch {
    // The network is away for a moment; the next look tells it all.
  }
  wait();
}

function begin() {
  slide();
  wait();
}

addEventListener("popstate", () => location.reload());
begin();
