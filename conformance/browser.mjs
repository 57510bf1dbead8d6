// Drives examples/web-app in Chromium, with the WebSocket API of HTML5 and nothing else in the page:
// `node browser.mjs URL PID FOLDER NAME`. URL is where the application serves, PID its process, which this ends, FOLDER
// has playwright-core and takes the screenshots, whose names begin with NAME.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, pid, folder, name] = process.argv.slice(2);
const { chromium } = createRequire(join(folder, "npm", "package.json"))("playwright-core");
const foreign = new URL(url);
foreign.port = "1234";

// Playwright gives each browser a new, empty profile, and removes it when the browser ends.
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    // No name leads anywhere except this machine's.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
  ],
});
const errors = [];
try {
  const ada = await visitor();
  const ben = await visitor();
  await refusesAWrongPassword(ada);
  await login(ada, "ada", "lovelace");
  await login(ben, "ben", "franklin");
  await hearsOfNotes(ada, ben);
  await refusesAPageOfAnotherSite(ada);
  await logout(ada);
  await outlivesTheServer(ben);
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
}
console.log(`${name}: ok, with Chromium ${browser.version()}`);

// A page with cookies of its own.
async function visitor() {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 800, height: 600 },
  });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  page.on("pageerror", error => errors.push(String(error)));
  return page;
}

async function shot(page, what) {
  await page.screenshot({ path: join(folder, `${name}-${what}.png`) });
}

async function enter(page, user, password) {
  await page.getByLabel("Name").fill(user);
  await page.getByLabel("Password").fill(password);
  const [answer] = await Promise.all([
    page.waitForResponse(answer => answer.request().method() === "POST"),
    page.getByRole("button", { name: "Log in" }).click(),
  ]);
  return answer.status();
}

async function refusesAWrongPassword(page) {
  await page.goto(url);
  assert.equal(new URL(page.url()).pathname, "/login");
  await shot(page, "1-login");
  assert.equal(await enter(page, "ada", "byron"), 401);
  await says(page.getByRole("alert"), "The name or the password is wrong.");
  assert.deepEqual(await page.context().cookies(), []);
  await shot(page, "2-wrong-password");
}

async function login(page, user, password) {
  await page.goto(new URL("/login", url).href);
  assert.equal(await enter(page, user, password), 303);
  await says(page.getByRole("status"), `You are ${user}.`);
  const [cookie] = await page.context().cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.secure, url.startsWith("https:"));
}

async function post(page, text) {
  await page.getByLabel("Your note").fill(text);
  await page.getByRole("button", { name: "Post" }).click();
}

async function hearsOfNotes(ada, ben) {
  await post(ben, "Lunch at noon?");
  await says(ada.getByRole("listitem"), "1. ben: Lunch at noon?");
  // The page shows what looks like HTML as text.
  await post(ada, "<b>At one</b>, größer & später 🍲");
  await says(ben.getByRole("listitem").first(), "2. ada: <b>At one</b>, größer & später 🍲");
  await post(ben, "a long text without a place to break it, " + "x".repeat(150));
  await says(ada.getByRole("listitem").first(), "3. ben: a long text");
  assert.equal(await ada.getByRole("listitem").count(), 3);
  // 300 characters, and too many bytes.
  await post(ada, "ä".repeat(300));
  await says(ada.getByRole("status"), "a note has between 1 and 500 bytes");
  assert.equal(await ada.getByLabel("Your note").inputValue(), "ä".repeat(300));
  // A page that is opened later shows all that there is.
  await ada.reload();
  await says(ada.getByRole("listitem").last(), "1. ben: Lunch at noon?");
  assert.equal(await ada.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await shot(ada, "3-board");
  await ada.setViewportSize({ width: 360, height: 640 });
  assert.equal(await ada.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await shot(ada, "4-board-on-a-telephone");
}

// Another port is another origin of the same site, so the browser sends the cookie along.
async function refusesAPageOfAnotherSite(ada) {
  const page = await ada.context().newPage();
  // Chromium asks its user before a page from elsewhere may reach this machine.
  await ada.context().grantPermissions(["local-network-access"], { origin: foreign.origin });
  await page.route(foreign.href, route => route.fulfill({ contentType: "text/html", body: "<h1>Elsewhere</h1>" }));
  await page.goto(foreign.href);
  const refused = page.waitForEvent("console", line => line.text().includes("WebSocket"));
  const code = await page.evaluate(
    live => new Promise(resolve => {
      const socket = new WebSocket(live);
      socket.onopen = () => resolve("opened");
      socket.onclose = ({ code }) => resolve(code);
    }),
    new URL("/live", url).href.replace("http", "ws"),
  );
  assert.equal(code, 1006);
  assert.match((await refused).text(), /403/);
  await page.close();
}

async function logout(page) {
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL("**/login");
  await page.goto(url);
  assert.equal(new URL(page.url()).pathname, "/login");
}

async function outlivesTheServer(page) {
  process.kill(Number(pid), "SIGTERM");
  await says(page.getByRole("status"), "The connection has ended (1012).");
  await shot(page, "5-server-gone");
}

// Waits until there is the text, for no longer than the timeout of the page.
async function says(place, text) {
  await place.filter({ hasText: text }).waitFor();
}
