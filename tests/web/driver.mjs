// Drives one page of a Chromium: a command a line on standard input, JSON; an answer a line on standard output.
// It ends, and the browser with it, at the end of its input.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, ...extra] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  // Root has no sandbox; shared memory is left to the streams.
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", ...extra],
});

const said = [];
let page = null;

const commands = {
  async open({ url, options }) {
    await page?.context().close();
    said.length = 0;
    page = await browser.newPage(options);
    page.on("console", (message) => said.push(`${message.type()}: ${message.text()} ${message.location().url}`));
    page.on("pageerror", (error) => said.push(`error: ${error.message}`));
    await page.goto(url, { waitUntil: "domcontentloaded" });
  },
  async evaluate({ script }) {
    try {
      return await page.evaluate(script);
    } catch (error) {
      if (error.message.includes("Execution context was destroyed")) {
        return null; // on the way to another page
      }
      throw error;
    }
  },
  async press({ key }) {
    await page.keyboard.press(key);
  },
  async shoot({ selector, path }) {
    await page.locator(selector).first().screenshot({ path });
  },
  async outline() {
    return page.locator("body").ariaSnapshot();
  },
  async said() {
    return said;
  },
};

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const { name, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[name](rest)) ?? null };
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
