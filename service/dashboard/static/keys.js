// A key for whatever says in aria-keyshortcuts that it has one: the first that is shown is clicked.

const isTyping = (target) =>
  target.isContentEditable ||
  target.matches("textarea, select, input:not([type=checkbox]):not([type=hidden])");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (isTyping(event.target)) return;
  const named = document.querySelectorAll(`[aria-keyshortcuts="${CSS.escape(event.key)}"]`);
  const shown = [...named].find((one) => one.checkVisibility());
  if (!shown) return;
  event.preventDefault();
  shown.click();
});
