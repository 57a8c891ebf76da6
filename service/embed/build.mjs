// npm ci && npm run build: writes built/ from source/. The result is committed, so that Hamgate
// installs and runs without npm; tests/service/embed/test_bundle.py says when it is out of date.
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { build, transform } from "esbuild";

const minified = {
  name: "minified styles as text",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    }),
};
const shared = { bundle: true, minify: true, target: "es2022", charset: "utf8", outdir: "built", plugins: [minified] };

await build({ ...shared, entryPoints: ["source/embed.js", "source/count.js"], format: "iife" });
await build({ ...shared, entryPoints: ["source/app.js", "source/proof.js"], format: "esm" });

const digest = createHash("sha256");
for (const name of (await readdir("source")).sort()) digest.update(await readFile(`source/${name}`));
await writeFile("built/SOURCE_SHA256", `${digest.digest("hex")}\n`);
