// Plays a stream by WebRTC (WHEP): as it comes, with nothing in store.

import { negotiate, Refusal, release } from "./signal.js";

const AGAIN_MS = 2000;
const MEASURE_MS = 500;

export class DirectPlayer {
  #video;
  #url;
  #token;
  #say;
  #giveUp;
  #connection = null;
  #session = null;
  #again = 0;
  #measuring = 0;
  #leftOut = "";

  /** Seconds that wait to be shown, by the browser's own account. */
  buffered = 0;
  /** Pictures that were decoded too late to be shown. */
  dropped = 0;
  /** How often the picture stood still. */
  stalls = 0;
  /** It never is by itself: a stream may come back. */
  ended = false;
  /** Seconds since the capture: nothing says. */
  behind = null;

  /**
   * Plays what the gateway has at `url` in `video`; `say` is told, in sentences, what a viewer should know, `giveUp` why
   * this stream can't be played so.
   */
  constructor(video, url, token, say, giveUp) {
    this.#video = video;
    this.#url = url;
    this.#token = token;
    this.#say = say;
    this.#giveUp = giveUp;
    addEventListener("pagehide", () => this.stop());
  }

  /** Begins; also again, after it was stopped. */
  async start() {
    this.stop();
    this.stalls = 0;
    this.#say("Waiting for the first picture.");
    const connection = new RTCPeerConnection();
    this.#connection = connection;
    connection.addTransceiver("video", { direction: "recvonly" });
    connection.addTransceiver("audio", { direction: "recvonly" });
    const stream = new MediaStream();
    connection.addEventListener("track", ({ track }) => stream.addTrack(track));
    connection.addEventListener("connectionstatechange", () => this.#changed(connection));
    this.#video.srcObject = stream;
    this.#video.addEventListener("playing", this.#shown);
    this.#measuring = setInterval(() => this.#measure(connection), MEASURE_MS);
    try {
      const { session, leftOut } = await negotiate(connection, this.#url, this.#token);
      if (connection !== this.#connection) {
        release(connection, session, this.#token);
        return;
      }
      this.#session = session;
      this.#leftOut = leftOut;
    } catch (error) {
      if (connection === this.#connection) {
        this.#refused(error);
      }
      return;
    }
    this.toLive();
  }

  /** Lets go of the stream. */
  stop() {
    clearTimeout(this.#again);
    clearInterval(this.#measuring);
    this.#video.removeEventListener("playing", this.#shown);
    release(this.#connection, this.#session, this.#token);
    this.#session = null;
    this.#connection = null;
    this.#video.srcObject = null;
  }

  /** Plays on: it is never behind. */
  toLive() {
    this.#video.play().catch((error) => {
      if (error.name === "NotAllowedError") {
        this.#say("Press play to watch.");
      }
    });
  }

  #shown = () => {
    this.#say(this.#leftOut ? `Not everything can be played this way: ${this.#leftOut}.` : "");
  };

  #changed(connection) {
    if (connection === this.#connection && ["failed", "closed", "disconnected"].includes(connection.connectionState)) {
      this.#later("The connection was lost; trying again.");
    }
  }

  #refused(error) {
    if (!(error instanceof Refusal)) {
      this.#later("The gateway does not answer; trying again.");
    } else if (error.status === 404 || error.status === 503) {
      this.#later("The gateway does not have the stream now; trying again.");
    } else {
      this.stop();
      this.#giveUp(error.status === 406 ? error.message : "The gateway wants a token for this stream.");
    }
  }

  #later(sentence) {
    this.stop();
    this.#say(sentence);
    this.#again = setTimeout(() => this.start(), AGAIN_MS);
  }

  async #measure(connection) {
    for (const report of (await connection.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "video") {
        this.buffered = report.jitterBufferEmittedCount ? report.jitterBufferDelay / report.jitterBufferEmittedCount : 0;
        this.dropped = report.framesDropped ?? 0;
        this.stalls = report.freezeCount ?? 0;
      }
    }
  }
}
