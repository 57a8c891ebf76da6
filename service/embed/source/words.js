/** The reader's language: messages, plural forms, dates. One request, for one language. */

const UNITS = [
  ["year", 31_536_000], ["month", 2_592_000], ["week", 604_800], ["day", 86_400],
  ["hour", 3_600], ["minute", 60],
];

/**
 * Fetch the messages and give what speaks them.
 *
 * An attribute of the element, such as `text-submit`, replaces the message of that name.
 */
export async function learn(element, signal) {
  const wanted =
    element.lang || element.closest("[lang]")?.lang || navigator.language || "en";
  const answer = await fetch(new URL(`messages/${encodeURIComponent(wanted)}.json`, import.meta.url), {
    signal,
    credentials: "omit",
  });
  if (!answer.ok) throw new Error(`no messages: ${answer.status}`);
  const messages = await answer.json();
  // Dates and numbers of the reader's region, if the words are in their language at all.
  const locale = wanted.split("-")[0] === messages.language.split("-")[0] ? wanted : messages.language;
  const plural = new Intl.PluralRules(locale);
  const number = new Intl.NumberFormat(locale);
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  const full = new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "short" });

  /** Give a message with its `{places}` filled in; undefined if there is none of that name. */
  const say = (key, values = {}) => {
    let words = element.getAttribute(`text-${key}`) ?? messages[key];
    if (words?.other) words = words[plural.select(values.n)] ?? words.other;
    return words?.replace(/{(\w+)}/g, (_, name) =>
      typeof values[name] === "number" ? number.format(values[name]) : values[name],
    );
  };
  return {
    say,
    language: messages.language,
    direction: messages.direction,
    when: (date) => full.format(date),
    ago(date) {
      const seconds = (date - Date.now()) / 1000;
      const [unit, length] = UNITS.find(([, of]) => -seconds >= of) || ["second", 0];
      return length ? relative.format(Math.trunc(seconds / length), unit) : say("now");
    },
  };
}
