// Plays a stream in a video element: by hls.js where the browser has Media Source Extensions, else by its own HLS.

import { address } from "./feed.js";

const HLS_TYPE = "application/vnd.apple.mpegurl";
const AGAIN_MS = 2000;
const CATCH_UP = 1.1; // times the speed, until it is as near to the live end as it should be
const LATE = 0.3; // seconds too far from the live end, when it begins to play, that are skipped
const CLOCK_TRIES = 3;

export class Player {
  #video;
  #key;
  #say;
  #hls = null;
  #again = 0;
  #mended = -Infinity;
  #clock = 0;
  #started = 0;

  /** How often it stood still for want of something to play, since it was started. */
  stalls = 0;

  /** Plays the stream `key` in `video`; `say` is told, in sentences, what a viewer should know. */
  constructor(video, key, say) {
    this.#video = video;
    this.#key = key;
    this.#say = say;
    video.addEventListener("waiting", () => this.#stalled());
    video.addEventListener("playing", () => say(""));
  }

  /** Begins at the live end; also again, after it was stopped or the stream came back. */
  async start(lowLatency) {
    this.stop();
    const started = this.#started;
    this.#say("Waiting for the first picture.");
    this.#readClock();
    const { default: Hls } = await import("./hls.min.mjs");
    if (started !== this.#started) {
      return; // another start or a stop came meanwhile
    }
    if (Hls.isSupported()) {
      this.#playByScript(Hls, lowLatency);
    } else if (this.#video.canPlayType(HLS_TYPE)) {
      this.#video.src = this.#playlist();
    } else {
      this.#say("This browser plays no HLS.");
      return;
    }
    this.#play();
  }

  /** Lets go of the stream. */
  stop() {
    this.#started += 1;
    this.stalls = 0;
    clearTimeout(this.#again);
    this.#hls?.destroy();
    this.#hls = null;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** Goes to the live end, and plays. */
  toLive() {
    const { seekable } = this.#video;
    const end = this.#hls?.liveSyncPosition ?? (seekable.length ? seekable.end(seekable.length - 1) : null);
    if (end !== null) {
      this.#video.currentTime = end;
    }
    this.#play();
  }

  /** It has come to the end of the stream. */
  get ended() {
    return this.#video.ended;
  }

  /** Seconds from the capture of the picture that is shown until now, by the server's clock; null: unknown. */
  get behind() {
    const shown = this.#hls ? this.#hls.playingDate?.getTime() : this.#nativeDate();
    return shown ? (Date.now() + this.#clock - shown) / 1000 : null;
  }

  /** Seconds that are ready to be played. */
  get buffered() {
    const { buffered, currentTime } = this.#video;
    for (let index = 0; index < buffered.length; index += 1) {
      if (buffered.start(index) <= currentTime && currentTime <= buffered.end(index)) {
        return buffered.end(index) - currentTime;
      }
    }
    return 0;
  }

  /** Pictures that were decoded too late to be shown. */
  get dropped() {
    return this.#video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
  }

  #playByScript(Hls, lowLatency) {
    // No worker: fragmented MP4 goes to the browser as it is, and a worker would need a looser content policy.
    const hls = new Hls({
      lowLatencyMode: lowLatency,
      enableWorker: false,
      maxLiveSyncPlaybackRate: lowLatency ? CATCH_UP : 1,
      backBufferLength: 30,
    });
    this.#hls = hls;
    if (lowLatency) {
      this.#video.addEventListener("playing", () => this.#nearer(hls), { once: true });
    }
    hls.on(Hls.Events.ERROR, (_event, error) => {
      if (error.fatal) {
        this.#mend(Hls, error, lowLatency);
      }
    });
    hls.loadSource(this.#playlist());
    hls.attachMedia(this.#video);
  }

  /** What was fetched first may be old by the time it is shown: goes where it should be, if that is there already. */
  #nearer(hls) {
    const wanted = hls.liveSyncPosition;
    const { buffered, currentTime } = this.#video;
    const end = buffered.length ? buffered.end(buffered.length - 1) : 0;
    if (hls === this.#hls && wanted !== null && wanted - currentTime > LATE && wanted < end) {
      this.#video.currentTime = wanted;
    }
  }

  #mend(Hls, error, lowLatency) {
    const now = performance.now();
    if (error.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
      this.#hls.destroy();
      this.#hls = null;
      this.#say("This browser can't decode the stream's codecs.");
    } else if (error.type === Hls.ErrorTypes.MEDIA_ERROR && now - this.#mended > AGAIN_MS) {
      this.#mended = now;
      this.#hls.recoverMediaError();
    } else {
      this.#say("The stream can't be loaded; trying again.");
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.start(lowLatency), AGAIN_MS);
    }
  }

  #play() {
    this.#video.play().catch((error) => {
      if (error.name === "NotAllowedError") {
        this.#say("Press play to watch.");
      }
    });
  }

  #stalled() {
    if (this.#video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && this.#video.currentTime > 0 && !this.#video.seeking) {
      this.stalls += 1;
      this.#say("Waiting for more of the stream.");
    }
  }

  #playlist() {
    return address(`${this.#key}/index.m3u8`);
  }

  #nativeDate() {
    const start = this.#video.getStartDate?.().getTime();
    return Number.isFinite(start) ? start + this.#video.currentTime * 1000 : null;
  }

  /** How far the server's clock is ahead of this one, by the quickest of a few answers. */
  async #readClock() {
    let quickest = Infinity;
    for (let tries = 0; tries < CLOCK_TRIES; tries += 1) {
      try {
        const asked = Date.now();
        const response = await fetch(address(`${this.#key}/clock`), { cache: "no-store" });
        const server = Date.parse(await response.text());
        const took = Date.now() - asked;
        if (response.ok && took < quickest) {
          quickest = took;
          this.#clock = server - asked - took / 2;
        }
      } catch {
        return;
      }
    }
  }
}
