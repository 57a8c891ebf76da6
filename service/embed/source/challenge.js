/** What shows the server how a form was filled in: a challenge from the time writing began. */

const LASTS_MS = 12 * 3_600_000; // half as long as the server takes it
const WRITING_MS = 2_500; // what is sent sooner after its challenge was made looks like a machine's

/** Give what gets challenges for one form, each for one comment. */
export function challenges(ctx) {
  let made, at;

  async function make() {
    try {
      const challenge = await ctx.ask(`sites/${ctx.site}/challenge`);
      const { parameters } = challenge;
      const solution = parameters.data.proof &&
        (await (await import(new URL("proof.js", import.meta.url))).solve(parameters, ctx.signal));
      return btoa(JSON.stringify({ challenge, solution }));
    } catch {
      made = undefined; // the comment goes without, and may have to wait for a person
    }
  }

  function begin() {
    if (!made || Date.now() - at > LASTS_MS) {
      at = Date.now();
      made = make();
    }
    return made;
  }

  return {
    /** Somebody begins to write. */
    begin,
    /** Give the challenge as it is sent; if nobody was seen to begin, wait as long as writing takes. */
    async take() {
      const late = !made;
      const taken = await begin();
      made = undefined;
      if (late && taken) await new Promise((go) => setTimeout(go, WRITING_MS));
      return taken;
    },
  };
}
