/** The choices of the demo page: each is an attribute or a custom property of the element. */

const comments = document.getElementById("first");

document.getElementById("choices").addEventListener("input", ({ target }) => {
  if (target.name === "accent") comments.style.setProperty("--hamgate-accent", target.value);
  else comments.setAttribute(target.name, target.value);
});
