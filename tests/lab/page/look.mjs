// Opens a page in headless Chromium as people do: on a phone and on a desk, light and dark, with the keyboard alone, on paper.
//
//   LAB_PAGE=… node look.mjs PAGE DIRECTORY
//
// Screenshots go to DIRECTORY; what was found is printed as JSON, and judged by whoever asked. axe-core and the client of the
// DevTools protocol come from $LAB_PAGE/node_modules; axe runs beside the page and is no part of it.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.LAB_PAGE}/`);
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");
const [page, directory] = process.argv.slice(2);
const address = pathToFileURL(page).href;
const browser = await chromium.launch({
  executablePath: process.env.LAB_CHROMIUM ?? "/usr/bin/chromium",
  // Root has no sandbox of Chromium's; the page is our own.
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

const sizes = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };
const narrow = { width: 360, height: 640 };
const found = { views: [], keyboard: {} };

// Everything that the page says or asks for besides itself.
function listen(tab, said) {
  tab.on("console", (message) => said.push(`console: ${message.text()}`));
  tab.on("pageerror", (error) => said.push(`error: ${error.message}`));
  tab.on("request", (request) => {
    if (request.url() !== address) said.push(`request: ${request.url()}`);
  });
}

for (const [size, viewport] of Object.entries(sizes)) {
  for (const colorScheme of ["light", "dark"]) {
    // First the page as it is, with its policy: what it says is its own.
    const said = [];
    const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: size === "desktop" ? 1 : 2 });
    const tab = await context.newPage();
    listen(tab, said);
    await tab.goto(address);
    const name = `${size}-${colorScheme}`;
    await tab.screenshot({ path: `${directory}/${name}.png` });
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await context.close();

    // Then the same with everything open and axe beside it, which the policy would not let in.
    const checked = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
    const open = await checked.newPage();
    await open.goto(address);
    await open.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    const wideOpen = await open.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await open.addScriptTag({ path: axe });
    const result = await open.evaluate(() =>
      window.axe.run(document, {
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        rules: { "target-size": { enabled: true } },
      }),
    );
    const told = (list) =>
      list.map((rule) => `${rule.id}: ${rule.help}: ${rule.nodes.slice(0, 3).map((node) => `${node.target} ${node.any.map((any) => any.message)}`).join(" | ")}`);
    await open.screenshot({ path: `${directory}/${name}-open.png`, fullPage: true });
    await checked.close();
    found.views.push({
      name, said, wide: Math.max(wide, wideOpen), violations: told(result.violations), unsure: told(result.incomplete),
      passed: result.passes.map((rule) => rule.id),
    });
  }
}

// The narrowest phone, with everything open.
{
  const context = await browser.newContext({ viewport: narrow });
  const tab = await context.newPage();
  await tab.goto(address);
  found.narrow = await tab.evaluate(() => {
    document.querySelectorAll("details").forEach((one) => (one.open = true));
    return document.documentElement.scrollWidth - document.documentElement.clientWidth;
  });
  await tab.screenshot({ path: `${directory}/narrow.png` });
  await context.close();
}

// With the keyboard alone: what Tab reaches, in its order, and what the keys do there.
{
  const context = await browser.newContext({ viewport: sizes.phone, reducedMotion: "reduce" });
  const tab = await context.newPage();
  await tab.goto(address);
  const here = () =>
    tab.evaluate(() => {
      const one = document.activeElement;
      const style = getComputedStyle(one);
      const box = one.getBoundingClientRect();
      return {
        tag: one.tagName.toLowerCase(),
        text: (one.getAttribute("aria-label") ?? one.textContent).trim().slice(0, 80),
        outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
        open: one.parentElement?.open ?? null,
        scrolled: one.scrollLeft,
        scrolls: one.scrollWidth > one.clientWidth,
      };
    });
  const stops = [];
  for (let at = 0; at < 200; at += 1) {
    await tab.keyboard.press("Tab");
    const stop = await here();
    if (stop.tag === "body" || stop.tag === "html") break;
    if (stop.tag === "summary") {
      const before = stop.open;
      await tab.keyboard.press("Enter");
      stop.opens = (await here()).open !== before;
      await tab.keyboard.press("Enter");
    }
    if (stop.scrolls) {
      await tab.keyboard.press("ArrowRight");
      await tab.waitForFunction((from) => document.activeElement.scrollLeft > from, stop.scrolled, { timeout: 5000 }).then(
        () => (stop.moves = true),
        () => (stop.moves = false),
      );
    }
    stops.push(stop);
  }
  found.keyboard.stops = stops;
  // The first link leads to the content.
  await tab.goto(address);
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");
  found.keyboard.skipped = await tab.evaluate(() => document.activeElement.id);
  await context.close();
}

// On paper, from a machine that is dark: black on white, and what is folded is there.
{
  const context = await browser.newContext({ viewport: sizes.desktop, colorScheme: "dark" });
  const tab = await context.newPage();
  await tab.goto(address);
  await tab.emulateMedia({ media: "print", colorScheme: "dark" });
  found.paper = await tab.evaluate(() => {
    const folded = [...document.querySelectorAll("details:not([open]) > :not(summary)")];
    return {
      background: getComputedStyle(document.body).backgroundColor,
      color: getComputedStyle(document.body).color,
      folded: folded.length,
      shown: folded.filter((one) => one.getBoundingClientRect().height > 0).length,
    };
  });
  await tab.pdf({ path: `${directory}/paper.pdf`, printBackground: true });
  await context.close();
}

found.version = browser.version();
await browser.close();
console.log(JSON.stringify(found));
