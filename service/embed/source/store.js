/**
 * What this browser keeps for its reader: drafts, the receipts of their own comments, and the
 * author token that shows which address is theirs.
 *
 * It stays with the page's origin and is sent nowhere but, receipt by receipt, to the service.
 * A browser that keeps nothing (private windows, a full disk) only forgets sooner.
 */

const MOST_RECEIPTS = 200;

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) || undefined;
  } catch {
    return undefined;
  }
}

function write(key, value) {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Forgetting sooner is all that follows.
  }
}

export function keep(site, page) {
  const receipts = `hamgate:receipts:${site}`;
  const author = `hamgate:author:${site}`;
  const draft = (parent) => `hamgate:draft:${site}:${page}:${parent || ""}`;
  return {
    draft: (parent) => read(draft(parent)),
    author: () => read(author),
    saveAuthor: (token) => write(author, token),
    saveDraft: (parent, value) => write(draft(parent), value),
    /** The receipts of this page's comments, by comment. */
    receipts: () =>
      Object.fromEntries(
        Object.entries(read(receipts) || {})
          .filter(([, kept]) => kept.page === page)
          .map(([id, kept]) => [id, kept.receipt]),
      ),
    remember(id, receipt) {
      const all = Object.entries(read(receipts) || {}).slice(1 - MOST_RECEIPTS);
      write(receipts, { ...Object.fromEntries(all), [id]: { receipt, page } });
    },
    forget(id) {
      const all = read(receipts) || {};
      delete all[id];
      write(receipts, all);
    },
  };
}
