// The list of the streams: a card for each, which stays the same element as long as the stream is there.

import { address, follow } from "./feed.js";
import { fill, lay, stateOf, write } from "./figures.js";
import { plot } from "./plot.js";
import { gateway } from "./signal.js";

const PICTURE_SECONDS = 5;

const list = document.getElementById("streams");
const message = document.getElementById("message");
const template = document.getElementById("card");
const pause = document.getElementById("pause");
const cards = new Map();
let before = null;

function show(streams) {
  const keys = new Set(streams.map((figures) => figures.key));
  for (const [key, card] of cards) {
    if (!keys.has(key)) {
      card.remove();
      cards.delete(key);
    }
  }
  streams.forEach((figures, place) => {
    const card = cards.get(figures.key) ?? made(figures.key);
    if (list.children[place] !== card) {
      list.insertBefore(card, list.children[place] ?? null);
    }
    fill(card, figures);
    plot(card.querySelector("figure"), figures.history);
    picture(card, figures);
  });
  announce(streams);
}

function made(key) {
  const card = template.content.firstElementChild.cloneNode(true);
  const link = card.querySelector("a");
  link.textContent = key;
  link.href = address(key);
  const image = card.querySelector("img");
  image.addEventListener("load", () => { image.hidden = false; });
  image.addEventListener("error", () => { image.hidden = true; });
  cards.set(key, card);
  return card;
}

/** The newest picture, now and then: not of streams that have none, nor of cards that nobody sees. */
function picture(card, figures) {
  const image = card.querySelector("img");
  card.querySelector(".picture span").hidden = figures.width > 0 || !figures.codecs.length;
  const box = card.getBoundingClientRect();
  const now = performance.now() / 1000;
  const due = now - Number(image.dataset.at ?? -Infinity) >= PICTURE_SECONDS;
  if (due && figures.width && box.bottom > 0 && box.top < innerHeight) {
    image.dataset.at = now;
    image.src = address(`${figures.key}/snapshot.jpg`, { at: Math.round(now) });
  }
}

/** Says what came, went or changed its state; figures change too often to be read out. */
function announce(streams) {
  const states = new Map(streams.map((figures) => [figures.key, stateOf(figures)]));
  const news = [];
  for (const [key, state] of before === null ? [] : states) {
    if (before.get(key) !== state) {
      news.push(`${key} is ${state}.`);
    }
  }
  for (const key of before === null ? [] : before.keys()) {
    if (!states.has(key)) {
      news.push(`${key} is gone.`);
    }
  }
  before = states;
  if (news.length) {
    write(message, news.join(" "));
  } else if (!streams.length) {
    write(message, "No stream is on.");
  } else if (message.classList.contains("trouble") || message.textContent === "No stream is on.") {
    write(message, "");
  }
  message.classList.remove("trouble");
}

function fail(sentence) {
  message.classList.add("trouble");
  write(message, sentence);
}

lay(template.content);
follow(null, show, fail, () => pause.checked);

gateway().then((url) => {
  const link = document.getElementById("publish");
  link.href = address("publish");
  link.hidden = !url;
});
