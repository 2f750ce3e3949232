/** Every view of the dashboard, as its routers list them, in every width and in both colours. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PROJECT } from "../system/server.ts";
import { axeViolations, type Dashboard, type OpenPage, overflow, startDashboard } from "./dashboard.ts";

const WIDTHS = [320, 1280, 2560];
const SCHEMES = ["light", "dark"] as const;
/** In CSS pixels. */
const HEIGHT = 900;
const SCREENSHOTS = path.join(PROJECT, "docs/dashboard");
const WRITES = process.env.UPDATE_DOCUMENTS === "1";
/** What is kept of each view: both colours and both ends of the widths, in two pictures. */
const SHOWN: ReadonlySet<string> = new Set(["light-1280", "dark-320"]);

// What the routers are made of is the Worker's, which these tests are not typed for.
const routers = "../worker/dashboard/routes.ts";
const { VIEWS, pathOf }: { VIEWS: string[]; pathOf: (pattern: string, values: object) => string } = await import(
  routers
);

let dashboard: Dashboard;
let signedIn: OpenPage;

beforeAll(async () => {
  dashboard = await startDashboard();
  signedIn = await dashboard.openSignedIn("/dashboard", dashboard.key);
}, 180_000);

afterEach(() => {
  signedIn.complaints.length = 0;
});

afterAll(() => dashboard?.stop(), 30_000);

test("there are views, and the sign-in is one", () => {
  expect(VIEWS.length).toBeGreaterThan(10);
  expect(VIEWS).toContain("/dashboard/sign-in");
});

/** A path with the ids that it is good for. */
function pathFor(pattern: string): string {
  const { examples } = dashboard;
  const id = examples[pattern.split("/").at(-1) ?? ""] ?? examples.id;
  return pathOf(pattern, { ...examples, id });
}

/** `/dashboard/keys/:key/revoke` is `keys-key-revoke`. */
const nameOf = (pattern: string) => pattern.replace(/^\/dashboard\/?/, "").replaceAll(/[^\w]+/g, "-") || "overview";

describe.each(VIEWS)("%s", (pattern) => {
  test("has nothing that axe finds, fits its window and has nothing to complain of, in all widths and colours", async () => {
    // Nobody who has signed in sees the sign-in.
    const isSignIn = pattern === "/dashboard/sign-in";
    const { page, complaints } = isSignIn ? await dashboard.open(pattern) : signedIn;
    if (!isSignIn) await page.goto(dashboard.url + pathFor(pattern));
    const wrong: string[] = [];
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: HEIGHT });
        const found = [
          ...(await axeViolations(page)),
          ...(await overflow(page)).map((element) => `too wide: ${element}`),
        ];
        wrong.push(...found.map((one) => `${colorScheme} ${width}: ${one}`));
        if (WRITES && SHOWN.has(`${colorScheme}-${width}`)) {
          await mkdir(SCREENSHOTS, { recursive: true });
          await page.screenshot({ path: path.join(SCREENSHOTS, `${nameOf(pattern)}-${colorScheme}-${width}.png`) });
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(await page.title()).toMatch(/ · Payment Service$/);
    expect(complaints).toEqual([]);
  });

  test("is complete without JavaScript", async () => {
    const { page, complaints } =
      pattern === "/dashboard/sign-in"
        ? await dashboard.open(pattern, { javaScriptEnabled: false })
        : await dashboard.openSignedIn(pathFor(pattern), dashboard.key, {
            javaScriptEnabled: false,
          });
    expect(await page.getByRole("heading", { level: 1 }).count()).toBe(1);
    expect(await page.getByRole("main").textContent()).not.toBe("");
    // What only a script could do is not offered.
    expect(await page.locator("button[data-copy]:visible").count()).toBe(0);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
