/** Speaks to the service: JSON there, JSON or a Problem back. Never a cookie. */

const PATIENCE_MS = 20_000;

/** What went wrong: `kind` is the problem's slug, or `offline` if nothing was answered at all. */
export class Problem extends Error {
  constructor(kind, { detail, errors, retryAfter } = {}) {
    super(detail || kind);
    this.kind = kind;
    this.errors = errors || [];
    this.retryAfter = retryAfter;
  }
}

/** Give what asks the service at `host`, until `signal` says that nobody waits any more. */
export function connect(host, signal) {
  return async (path, { method = "GET", body, receipt, headers } = {}) => {
    let answer, text;
    try {
      answer = await fetch(`${host}/api/v1/${path}`, {
        method,
        body: body && JSON.stringify(body),
        headers: {
          ...(body && { "Content-Type": "application/json" }),
          ...(receipt && { Authorization: `Receipt ${receipt}` }),
          ...headers,
        },
        // The browser asks whether what it has is still right: a 304 if so.
        cache: "no-cache",
        credentials: "omit",
        signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
      });
      text = await answer.text();
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Problem("offline");
    }
    const found = parse(text);
    if (answer.ok) return found;
    throw new Problem(found?.type?.split("/").pop() || "internal", {
      ...found,
      retryAfter: Number(answer.headers.get("Retry-After")) || undefined,
    });
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a proxy's page of HTML, or nothing
  }
}
