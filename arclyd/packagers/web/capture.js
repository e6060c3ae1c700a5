// What this browser can send: its camera, its screen, its microphone; and how loud it is there.

/** Asks for a picture (`camera`, `screen` or `none`) and, if `sound`, the microphone. Throws what the browser refuses with. */
export async function capture(picture, sound) {
  if (!navigator.mediaDevices) {
    throw new Error("A browser lets pages use cameras and screens on localhost and over HTTPS only.");
  }
  const tracks = [];
  try {
    if (picture === "screen") {
      const screen = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: false });
      tracks.push(...screen.getTracks());
    }
    if (picture === "camera" || sound) {
      const video = picture === "camera" ? { width: { ideal: 1280 }, height: { ideal: 720 } } : false;
      const found = await navigator.mediaDevices.getUserMedia({ video, audio: sound });
      tracks.push(...found.getTracks());
    }
  } catch (error) {
    tracks.forEach((track) => track.stop());
    throw error;
  }
  return new MediaStream(tracks);
}

/** Measures how loud a stream is, 0 to 1, until it is closed. */
export class Loudness {
  #context = new AudioContext();
  #analyser = this.#context.createAnalyser();
  #samples = new Float32Array(this.#analyser.fftSize);

  constructor(stream) {
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
  }

  /** The loudest sample of the last moment. */
  get peak() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return this.#samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  }

  close() {
    this.#context.close();
  }
}
