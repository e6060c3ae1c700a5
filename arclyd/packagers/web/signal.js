// Speaks to the WebRTC gateway: an offer there, an answer back (WHIP, RFC 9725; WHEP).

import { address } from "./feed.js";

const PATIENCE = 10_000;
const GATHERING = 1000; // for the addresses of this browser; the gateway finds those that come later by itself

/** The address of the gateway that the server names; null: it names none. */
export async function gateway() {
  try {
    const response = await fetch(address("gateways.json"), { signal: AbortSignal.timeout(PATIENCE) });
    const { webrtc } = await response.json();
    return webrtc?.startsWith(":") ? `${location.protocol}//${location.hostname}${webrtc}` : webrtc;
  } catch {
    return null;
  }
}

/** Why the gateway refused, as a sentence. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text || `The gateway answers with ${status}.`);
    this.status = status;
  }
}

/**
 * Negotiates `connection` with the gateway at `url`. Gives the session's address, to be deleted at the end, and what of
 * the stream is left out. Throws a `Refusal`, or a `TypeError` where nobody answers.
 */
export async function negotiate(connection, url, token) {
  await connection.setLocalDescription(await connection.createOffer());
  await gathered(connection);
  const headers = { "Content-Type": "application/sdp", ...authorization(token) };
  const body = connection.localDescription.sdp;
  const response = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(PATIENCE) });
  const text = await response.text();
  if (response.status !== 201) {
    throw new Refusal(response.status, text.trim());
  }
  await connection.setRemoteDescription({ type: "answer", sdp: text });
  return {
    session: new URL(response.headers.get("Location"), url).href,
    leftOut: response.headers.get("Arclyd-Left-Out") ?? "",
  };
}

/**
 * Ends a session (null: there is none), also when the page is being left, and then its connection: the gateway would take
 * the end of that for the session's, and know nothing of a session that is to be ended.
 */
export function release(connection, session, token) {
  const close = () => connection?.close();
  if (session === null) {
    close();
    return;
  }
  const headers = authorization(token);
  fetch(session, { method: "DELETE", headers, keepalive: true, signal: AbortSignal.timeout(PATIENCE) }).then(close, close);
}

function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function gathered(connection) {
  if (connection.iceGatheringState === "complete") {
    return;
  }
  await new Promise((resolve) => {
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState === "complete") {
        resolve();
      }
    });
    setTimeout(resolve, GATHERING);
  });
}
