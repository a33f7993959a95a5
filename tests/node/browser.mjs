// What would a person see and do with a real browser?
//
// Runs headless Chromium once, and any number of tabs in it, each with cookies of its own. Takes orders as orders.mjs says:
//
//   start {"origin": "…", "javascript": true, "width": 1280, "dark": false}
//
// Every other order waits for the page that it leads to, and is answered with `{"url": "…", "title": "…", "text": "…",
// "errors": ["…"]}`: what the page shows, and what the browser complained about at pages of the origin since the last
// order, such as something that the content security policy forbids.
//
//   open {"url": "…"}, back, show
//   click {"selector": "…", "twice": false}, fill {"selector": "…", "text": "…"}
//   choose {"selector": "…", "value": "…"}
//   download {"selector": "…"}: clicks, as well with `name` and `value` of the file
//   value {"selector": "…"}: as well with `value`, of a field
//   key {"key": "Tab" | "Enter" | …, "leads": false}: as well with `focused`, the text of the element that has the focus
//   sign_in {"person": "…"}: answers the forms of the provider of people.mjs
//   audit: as well with `violations` of axe-core, and `scrolls`, whether the page is wider than the tab
//   picture {"file": "…"}
//   forget: the cookies
//   end

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { serve } from "./orders.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: process.argv[2],
  // The tests may run as root, for whom Chromium has no sandbox; it opens pages of this machine alone.
  args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});

class Tab {
  #errors = [];

  static async start({ origin, javascript, width, dark }) {
    const tab = new Tab();
    tab.context = await browser.newContext({
      javaScriptEnabled: javascript,
      viewport: { width, height: 900 },
      colorScheme: dark ? "dark" : "light",
    });
    tab.context.setDefaultTimeout(20_000);
    tab.page = await tab.context.newPage();
    tab.page.on("console", (message) => {
      const page = tab.page.url();
      // A page that answers 404 or 409 is a page.
      const isStatus = message.text().startsWith("Failed to load resource") && message.location().url === page;
      if (message.type() === "error" && page.startsWith(`${origin}/`) && !isStatus) tab.#errors.push(message.text());
    });
    tab.page.on("pageerror", (error) => tab.#errors.push(String(error)));
    return [tab, {}];
  }

  async show() {
    const errors = this.#errors.splice(0);
    const text = await this.page.locator("body").innerText();
    return { url: this.page.url(), title: await this.page.title(), text, errors };
  }

  // What an action leads to: links, forms and keys lead to another page.
  async #led(action) {
    await Promise.all([this.page.waitForEvent("load"), action()]);
    return await this.show();
  }

  async open({ url }) {
    await this.page.goto(url);
    return await this.show();
  }

  async back() {
    await this.page.goBack();
    return await this.show();
  }

  async click({ selector, twice }) {
    const found = this.page.locator(selector);
    return await this.#led(() => (twice ? found.dblclick() : found.click()));
  }

  async fill({ selector, text }) {
    await this.page.locator(selector).fill(text);
    return await this.show();
  }

  async choose({ selector, value }) {
    await this.page.locator(selector).selectOption(value);
    return await this.show();
  }

  async download({ selector }) {
    const [download] = await Promise.all([this.page.waitForEvent("download"), this.page.locator(selector).click()]);
    const value = readFileSync(await download.path(), "utf8");
    return { ...(await this.show()), name: download.suggestedFilename(), value };
  }

  async value({ selector }) {
    return { ...(await this.show()), value: await this.page.locator(selector).inputValue() };
  }

  async key({ key, leads }) {
    const press = () => this.page.keyboard.press(key);
    const shown = leads ? await this.#led(press) : (await press(), await this.show());
    const focus = this.page.locator(":focus");
    const focused = (await focus.count()) === 0 ? "" : await focus.innerText();
    return { ...shown, focused };
  }

  async sign_in({ person }) {
    // One form to sign in and one to agree; a session at the provider needs neither.
    for (let forms = 0; forms < 3; forms++) {
      if ((await this.page.locator("input[name=prompt]").count()) === 0) break;
      const name = this.page.locator("input[name=login]");
      if ((await name.count()) > 0) {
        await name.fill(person);
        await this.page.locator("input[name=password]").fill("any");
      }
      await this.#led(() => this.page.locator("button[type=submit]").click());
    }
    return await this.show();
  }

  async audit() {
    // By the protocol of the browser's debugger, which the page's policy does not bind.
    const debug = await this.context.newCDPSession(this.page);
    const evaluate = async (expression) => {
      const answer = await debug.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
      if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.text);
      return answer.result.value;
    };
    await evaluate(`${axe}; undefined`);
    const violations = await evaluate(
      "axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html)))",
    );
    const scrolls = await evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
    await debug.detach();
    return { ...(await this.show()), violations, scrolls };
  }

  async picture({ file }) {
    await this.page.screenshot({ path: file, fullPage: true });
    return await this.show();
  }

  async forget() {
    await this.context.clearCookies();
    return await this.show();
  }

  async end() {
    await this.context.close();
    return {};
  }
}

const actions = [
  "open",
  "back",
  "show",
  "click",
  "fill",
  "choose",
  "download",
  "value",
  "key",
  "sign_in",
  "audit",
  "picture",
  "forget",
  "end",
];
await serve(Tab.start, actions);
