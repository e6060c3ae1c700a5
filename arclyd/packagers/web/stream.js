// One stream's page: the player, its figures, and the addresses for other players.

import { DirectPlayer } from "./direct.js";
import { address, follow, token } from "./feed.js";
import { fill, lay, seconds, stateOf, write } from "./figures.js";
import { Player } from "./player.js";
import { plot } from "./plot.js";
import { gateway } from "./signal.js";

const key = location.pathname.split("/").slice(-2).map(decodeURIComponent).join("/");
const message = document.getElementById("message");
const low = document.getElementById("low");
const direct = document.getElementById("direct");
const note = document.getElementById("note");
const video = document.getElementById("video");
const buffered = new Player(video, key, say);
let player = buffered; // or, by WebRTC, the one that has nothing in store
let unbuffered = null;
let state = "";
let playing = false;

lay(document);
document.title = key;
document.getElementById("key").textContent = key;
document.getElementById("all").href = address("");
for (const link of document.querySelectorAll("[data-file]")) {
  link.href = address(`${key}/${link.dataset.file}`);
}

function say(sentence) {
  write(message, sentence);
}

function show(streams) {
  const figures = streams[0];
  if (figures === undefined) {
    gone();
    return;
  }
  state = stateOf(figures);
  fill(document, figures);
  plot(document.querySelector("figure"), figures.history);
  if (figures.state.includes("publishing") && (!playing || player.ended)) {
    playing = true;
    player.start(low.checked);
  } else if (player.ended) {
    say("The stream has ended.");
  }
}

function gone() {
  if (!playing || player.ended) {
    playing = false;
    say(state ? "The stream has ended." : "There is no such stream now; it will play here once there is.");
  }
}

function fail(sentence) {
  if (!playing) {
    say(sentence);
  }
}

function measure() {
  const { behind } = player;
  write(document.getElementById("behind"), behind === null ? "–" : seconds(Math.max(0, behind)));
  write(document.getElementById("buffered"), seconds(player.buffered));
  write(document.getElementById("dropped"), String(player.dropped));
  write(document.getElementById("stalls"), String(player.stalls));
}

/** Goes on by the way that is chosen. */
function choose() {
  player.stop();
  player = direct.checked && unbuffered !== null ? unbuffered : buffered;
  low.disabled = player === unbuffered;
  write(note, "");
  player.start(low.checked);
}

/** By WebRTC it can't be played: goes on by HLS, and says why. */
function giveUp(why) {
  direct.checked = false;
  choose();
  write(note, why);
}

low.addEventListener("change", choose);
direct.addEventListener("change", choose);
gateway().then((url) => {
  if (url) {
    unbuffered = new DirectPlayer(video, `${url}/${key}/whep`, token, say, giveUp);
    document.getElementById("direct-choice").hidden = false;
  }
});
document.getElementById("live").addEventListener("click", () => player.toLive());
setInterval(measure, 500);
follow(key, show, fail);
