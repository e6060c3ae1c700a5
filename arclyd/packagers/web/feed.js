// Where things are on this server, and the figures of its streams, asked for once a second while somebody looks.

const SECOND = 1000;
const PATIENCE = 5 * SECOND;

/** What this page was opened with; null: nothing. */
export const token = new URLSearchParams(location.search).get("token");

/** The address of a file of this server, with the token that this page was opened with. */
export function address(path, query = {}) {
  const url = new URL(path.split("/").map(encodeURIComponent).join("/"), document.baseURI);
  for (const [name, value] of Object.entries({ ...query, ...(token === null ? {} : { token }) })) {
    url.searchParams.set(name, value);
  }
  return url.href;
}

/**
 * Calls `show` with the figures of all streams, or of the one named, every second, and `fail` with a sentence when
 * there are none to be had. Nothing is asked for while the page is hidden or `held()`.
 */
export function follow(stream, show, fail, held = () => false) {
  const url = address("streams.json", stream === null ? {} : { stream });
  const look = async () => {
    if (!document.hidden && !held()) {
      try {
        const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE) });
        if (response.ok) {
          show((await response.json()).streams);
        } else {
          fail(sentence(response.status));
        }
      } catch {
        fail("The server does not answer.");
      }
    }
    setTimeout(look, SECOND);
  };
  look();
}

function sentence(status) {
  if (status === 403) {
    return token === null
      ? "Viewing needs a token: open the link that you were given."
      : "The token of this link has expired, or opens nothing that is on now.";
  }
  return `The server answers with ${status}.`;
}
