/**
 * Solves a challenge of ALTCHA, version 2: finds the counter whose SHA-256 begins as asked.
 *
 * On the page's own thread, in slices that nobody feels: a Worker has to come from the page's own
 * origin, or from a blob: or data: that strict pages forbid. By hand, since `crypto.subtle` is
 * not there over plain http, and a promise for each of some 200,000 hashes costs more than a hash.
 */

const SLICE_MS = 8;
const ROUNDS = 64;
const K = new Int32Array(ROUNDS);
const START = new Int32Array(8);

/** The first bits behind the point of the roots of the first primes (FIPS 180-4, 4.2.2, 5.3.3). */
for (let number = 2, found = 0; found < ROUNDS; number++) {
  let divisor = 2;
  while (divisor * divisor <= number && number % divisor) divisor++;
  if (divisor * divisor <= number) continue;
  if (found < START.length) START[found] = (Math.sqrt(number) % 1) * 2 ** 32;
  K[found++] = (Math.cbrt(number) % 1) * 2 ** 32;
}

const w = new Int32Array(ROUNDS);

/** Give SHA-256 of one block that has its padding already. */
function sha256(block) {
  w.set(block);
  for (let i = block.length; i < ROUNDS; i++) {
    const x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] +
      (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) +
      (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = START;
  for (let i = 0; i < ROUNDS; i++) {
    const t = (h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) +
      ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    const u = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) +
      ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t) | 0;
    d = c; c = b; b = a; a = (t + u) | 0;
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (word + START[i]) | 0);
}

const words = (hex) => hex.match(/.{8}/g).map((one) => parseInt(one, 16) | 0);
const hex = (key) => key.map((one) => (one >>> 0).toString(16).padStart(8, "0")).join("");

/** Give the solution; nothing if `signal` ends the search. */
export async function solve({ salt, nonce, keyPrefix }, signal) {
  // 36 bytes, of which the last four count, then the padding: one block.
  const block = Int32Array.of(...words(salt), ...words(nonce), 0, 1 << 31, 0, 0, 0, 0, 0, 36 * 8);
  const wanted = words(keyPrefix);
  let counter = 0;
  while (!signal.aborted) {
    const pause = performance.now() + SLICE_MS;
    do {
      block[8] = counter;
      const key = sha256(block);
      if (wanted.every((word, i) => word === key[i])) return { counter, derivedKey: hex(key) };
    } while (++counter % 64 || performance.now() < pause);
    await new Promise((go) => setTimeout(go));
  }
}
