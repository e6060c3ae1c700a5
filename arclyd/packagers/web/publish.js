// Publishes what this browser captures by WHIP, and says how that goes.

import { capture, Loudness } from "./capture.js";
import { address } from "./feed.js";
import { bitrate, write } from "./figures.js";
import { gateway, negotiate, Refusal, release } from "./signal.js";

const LEVEL_MS = 100;
const FIGURES_MS = 1000;
const PREFERRED = ["video/H264", "video/AV1", "video/VP9", "video/VP8"]; // as most players can take it

const by = (id) => document.getElementById(id);
const [form, video, message, go] = ["form", "video", "message", "go"].map(by);

let running = null; // what is being published: its connection, stream, session, loudness, timers

by("all").href = address("");
by("token").value = new URLSearchParams(location.search).get("token") ?? "";
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running === null) {
    start();
  } else {
    stop("Nothing is sent any more.");
  }
});
addEventListener("pagehide", () => stop(""));

function say(sentence, trouble = false) {
  message.classList.toggle("trouble", trouble);
  write(message, sentence);
}

async function start() {
  const base = await gateway();
  if (!base) {
    say("This server names no WebRTC gateway to publish by (arclyd package --webrtc).", true);
    return;
  }
  const picture = new FormData(form).get("picture");
  const attempt = { token: by("token").value, key: by("name").value, timers: [], session: null, loudness: null };
  running = attempt;
  show("Asking for your permission.");
  try {
    attempt.stream = await capture(picture, by("sound").checked);
    if (running !== attempt) {
      attempt.stream.getTracks().forEach((track) => track.stop());
      return;
    }
    show("Connecting.");
    connect(attempt);
    const found = await negotiate(attempt.connection, `${base}/${attempt.key}/whip`, attempt.token);
    attempt.session = found.session;
    if (running !== attempt) {
      release(attempt.connection, attempt.session, attempt.token);
    }
  } catch (error) {
    if (running === attempt) {
      stop(reason(error), true);
    }
  }
}

function connect(attempt) {
  const connection = new RTCPeerConnection();
  attempt.connection = connection;
  video.srcObject = attempt.stream;
  for (const track of attempt.stream.getTracks()) {
    const transceiver = connection.addTransceiver(track, { direction: "sendonly", streams: [attempt.stream] });
    if (track.kind === "video") {
      transceiver.setCodecPreferences?.(preferred());
    }
    track.addEventListener("ended", () => running === attempt && stop("The source was closed."));
  }
  if (attempt.stream.getAudioTracks().length) {
    attempt.loudness = new Loudness(attempt.stream);
    attempt.timers.push(setInterval(() => { by("level").value = attempt.loudness.peak; }, LEVEL_MS));
  }
  attempt.timers.push(setInterval(() => measure(attempt), FIGURES_MS));
  connection.addEventListener("connectionstatechange", () => {
    if (running !== attempt) {
      return;
    }
    if (connection.connectionState === "connected") {
      show("Publishing.");
      write(by("state"), "live");
      by("state").dataset.state = "publishing";
      by("watch").hidden = false;
      by("watch").firstElementChild.href = address(attempt.key);
    } else if (connection.connectionState === "failed" || connection.connectionState === "closed") {
      stop("The connection was lost.", true);
    }
  });
}

function preferred() {
  const codecs = RTCRtpSender.getCapabilities("video").codecs;
  const rank = (codec) => (PREFERRED.indexOf(codec.mimeType) + PREFERRED.length + 1) % (PREFERRED.length + 1);
  return [...codecs].sort((one, other) => rank(one) - rank(other));
}

/** Says what is going on, and what the button does then. */
function show(sentence) {
  say(sentence);
  write(go, running === null ? "Publish" : "Stop");
  for (const element of form.querySelectorAll("input")) {
    element.disabled = running !== null;
  }
}

function stop(sentence, trouble = false) {
  const attempt = running;
  if (attempt === null) {
    return;
  }
  running = null;
  attempt.timers.forEach(clearInterval);
  attempt.loudness?.close();
  attempt.stream?.getTracks().forEach((track) => track.stop());
  release(attempt.connection, attempt.session, attempt.token);
  video.srcObject = null;
  by("level").value = 0;
  by("watch").hidden = true;
  write(by("state"), "");
  delete by("state").dataset.state;
  for (const id of ["bitrate", "fps", "size", "codecs", "lost"]) {
    write(by(id), "");
  }
  show(sentence);
  say(sentence, trouble);
}

function reason(error) {
  if (error instanceof Refusal) {
    return { 401: "Publishing needs a token.", 403: "This token does not open the stream." }[error.status] ?? error.message;
  }
  if (error.name === "NotAllowedError") {
    return "The browser did not allow it.";
  }
  if (error.name === "NotFoundError") {
    return "There is no such camera or microphone.";
  }
  return error instanceof TypeError ? "The gateway does not answer." : error.message;
}

/** Writes what really goes out, of the last second. */
async function measure(attempt) {
  const reports = [...(await attempt.connection.getStats()).values()];
  const sent = reports.filter((report) => report.type === "outbound-rtp");
  const bytes = sent.reduce((sum, report) => sum + report.bytesSent + (report.headerBytesSent ?? 0), 0);
  const at = performance.now();
  if (running !== attempt) {
    return;
  }
  if (attempt.at !== undefined) {
    write(by("bitrate"), bitrate(((bytes - attempt.bytes) * 8 * 1000) / (at - attempt.at)));
  }
  [attempt.bytes, attempt.at] = [bytes, at];
  const picture = sent.find((report) => report.kind === "video");
  write(by("fps"), picture?.framesPerSecond ? `${picture.framesPerSecond.toFixed(1)} fps` : "no picture");
  write(by("size"), picture?.frameWidth ? `${picture.frameWidth}×${picture.frameHeight}` : "no picture");
  const names = new Map(reports.filter((report) => report.type === "codec").map((report) => [report.id, report.mimeType]));
  write(by("codecs"), sent.map((report) => (names.get(report.codecId) ?? "").split("/").pop()).join(", "));
  const lost = reports.filter((report) => report.type === "remote-inbound-rtp");
  write(by("lost"), String(lost.reduce((sum, report) => sum + Math.max(0, report.packetsLost), 0)));
}
