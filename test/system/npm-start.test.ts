import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { makeAdministratorKey } from "../../src/auth/api-key";
import { makeSecretsKeys } from "../../src/auth/secret-keys";
import { complaint, type } from "./command";
import { NODE, PROJECT, type Server, startServer } from "./server";
import { exchange } from "./wire";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe("another Node", () => {
  const REFUSAL = (version: string) =>
    `Payment Service needs Node 20 (20.19 or newer), or 22.12 or newer; this is ${version}. Install one from https://nodejs.org, then type: npm ci`;
  const under = (version: string) => ({ npm_config_user_agent: `npm/10.8.2 node/v${version} linux x64` });

  const { scripts }: { scripts: Record<string, string> } = JSON.parse(
    readFileSync(path.join(PROJECT, "package.json"), "utf8"),
  );
  test.each(Object.keys(scripts).map((name) => `npm run ${name}`))("gets one line from `%s`", async (line) => {
    const ended = await type(line, under("20.10.0"));
    expect(ended.code).toBe(1);
    expect(complaint(ended)).toBe(REFUSAL("20.10.0"));
  });

  test.each(["0.10.48", "8.17.0", "18.20.8", "20.18.3", "21.7.3", "22.11.0"])("is %s", async (version) => {
    expect(complaint(await type("node scripts/check-node.cjs", under(version)))).toBe(REFUSAL(version));
  });

  test.each(["20.19.0", "20.20.2", "22.12.0", "22.23.3", "23.0.0", "24.1.0", "100.0.0"])(
    "is not %s",
    async (version) => {
      expect(await type("node scripts/check-node.cjs", under(version))).toMatchObject({
        code: 0,
        stdout: "",
        stderr: "",
      });
    },
  );

  test("is the one that `engines` in package.json says", () => {
    const { engines } = JSON.parse(readFileSync(path.join(PROJECT, "package.json"), "utf8"));
    expect(engines).toEqual({ node: "^20.19.0 || >=22.12.0" });
  });

  test("gets its line also without dependencies, which then are asked for", async () => {
    const empty = path.join(directory, "empty");
    await mkdir(path.join(empty, "scripts"), { recursive: true });
    await cp(path.join(PROJECT, "package.json"), path.join(empty, "package.json"));
    await cp(path.join(PROJECT, "scripts/check-node.cjs"), path.join(empty, "scripts/check-node.cjs"));
    expect(complaint(await type("npm start", under("18.0.0"), empty))).toBe(REFUSAL("18.0.0"));
    expect(complaint(await type("npm start", under("22.12.0"), empty))).toBe("Dependencies are missing. Type: npm ci");
  });
});

/** Whether this user may listen on 80, and nobody does. */
const isFree80 = await new Promise<boolean>((resolve) => {
  const probe = createServer()
    .once("error", () => resolve(false))
    .listen(80, "127.0.0.1", () => probe.close(() => resolve(true)));
});

test.skipIf(!isFree80)(
  "port 80, which URLs leave out, is named, and asked whether it is ready",
  async () => {
    const server = await startServer(path.join(directory, "port-80"), [], ["--port", "80"]);
    onTestFinished(() => server.stop());
    expect(server.url).toBe("http://localhost:80");
    expect(server.log()).toContain("Try it     http://localhost:80/docs\n");
    expect(server.log()).not.toMatch(/null|not ready/);
  },
  120_000,
);

describe("a port that is taken", () => {
  let port: number;
  const occupant = createServer();

  beforeAll(async () => {
    occupant.listen(0, "127.0.0.1");
    await once(occupant, "listening");
    const address = occupant.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
  });
  afterAll(() => occupant.close());

  // With this, each way to name a port is known to reach the server.
  test.each([
    (n: number) => `npm start --port ${n}`,
    (n: number) => `npm start --port=${n}`,
    (n: number) => `npm start -- --port ${n}`,
    (n: number) => `npm start -- --port=${n}`,
    (n: number) => `npm start ${n}`,
    (n: number) => `PORT=${n} npm start`,
    (n: number) => `PORT=8000 npm start -- --port ${n}`,
  ])("is answered with what to type: %s", async (line) => {
    const ended = await type(line(port), { npm_config_loglevel: "error" });
    expect(ended.code).toBe(1);
    const [, next] =
      /^Port (?:\d+) is taken by another program\. Type: PORT=(\d+) npm start$/.exec(complaint(ended)) ?? [];
    expect(complaint(ended)).toContain(`Port ${port} `);
    expect(Number(next)).toBeGreaterThan(port);
  });
});

describe("a command line that cannot be followed", () => {
  test.each([
    ["npm start -- --port http", '"http" is no port. Type a number from 1 to 65535: npm start -- --port 8001'],
    ["npm start -- --port 65536", '"65536" is no port. Type a number from 1 to 65535: npm start -- --port 8001'],
    [
      "npm start --persist-to x",
      "npm keeps --persist-to for itself. Type two dashes before it: npm start -- --persist-to …",
    ],
    ["npm start --port", "--port needs a value. Type: npm start -- --port …"],
    ["npm start -- foo", 'npm start does not know what "foo" is. Type: npm start -- --help'],
    ["npm start -- --secrets-file nowhere.env", "There is no file nowhere.env"],
    ["npm run reset -- foo", 'npm run reset does not know what "foo" is. Type: npm run reset -- --help'],
    [
      "npm run reset --persist-to x",
      "npm keeps --persist-to for itself. Type two dashes before it: npm run reset -- --persist-to …",
    ],
    [
      "npm start -- --var AUTH_MODE:required --var ADMIN_KEY:x",
      "ADMIN_KEY is a secret, and everybody on this machine can read a command line. Put it into a file, as the line ADMIN_KEY=…, and type: npm start -- --secrets-file FILE",
    ],
  ])("%s", async (line, complaintExpected) => {
    const ended = await type(line);
    expect({ code: ended.code, complaint: complaint(ended) }).toEqual({ code: 1, complaint: complaintExpected });
  });
});

test.each([
  ["npm run --silent start -- --help", /^npm start applies .*\n\n {2}npm start -- \[PORT\] .*--persist-to DIR/s],
  ["npm run --silent reset -- --help", /^npm run reset removes .*--persist-to DIR/s],
])("`%s` says what can be typed, and does nothing", async (line, usage) => {
  const { code, stdout, stderr } = await type(line);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(usage);
});

describe("npm run reset", () => {
  test("removes no folder that is not a local state, and leaves nothing there", async () => {
    const other = path.join(directory, "releases");
    await mkdir(path.join(other, "v3"), { recursive: true });
    await writeFile(path.join(other, "v3", "notes.txt"), "Keep me");
    const ended = await type(`npm run reset -- --persist-to ${other}`);
    expect([ended.code, complaint(ended)]).toEqual([
      1,
      `${other} is no local state of this service, for it has no v3/d1: nothing was removed`,
    ]);
    expect(await readdir(other)).toEqual(["v3"]);
    expect(await readFile(path.join(other, "v3", "notes.txt"), "utf8")).toBe("Keep me");
    const nowhere = path.join(directory, "nowhere");
    const nothing = await type(`npm run --silent reset -- --persist-to ${nowhere}`);
    expect(nothing).toEqual({ code: 0, stdout: `There is no local state in ${nowhere}\n`, stderr: "" });
    expect(await readdir(directory)).not.toContain("nowhere");
  });
});

describe("a stop while the migrations are applied", () => {
  // Ctrl+C reaches every process of the group, and wrangler then exits with 0. npm, which ends by the signal itself,
  // is left out: it would hide how the script ends.
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("by %s ends it with %d, and nothing is served", async (signal, code) => {
    const state = path.join(directory, `stopped-by-${signal}`);
    const args = ["scripts/start.ts", "--port", "0", "--inspector-port", "0", "--persist-to", state];
    const child = spawn(NODE, ["--disable-warning=ExperimentalWarning", ...args], {
      cwd: PROJECT,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const group = child.pid ?? 0;
    onTestFinished(() => {
      try {
        process.kill(-group, "SIGKILL");
      } catch {
        // All of it has ended.
      }
    });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += text));
    const ended = once(child, "close");
    const members = async () => {
      const { stdout } = await type("ps -eo pgid,args");
      return stdout.split("\n").filter((line) => line.trim().startsWith(`${group} `));
    };
    await vi.waitFor(async () => expect((await members()).join("\n")).toMatch(/workerd.* serve /), 60_000);
    expect((await members()).join("\n")).toContain("migrations apply");
    process.kill(-group, signal);
    expect(await ended).toEqual([code, null]);
    expect(printed).not.toMatch(/Ready on|not applied/);
  });
});

test("required mode without a secrets file says that there is none", async () => {
  const server = await startServer(path.join(directory, "no-secrets"), ["AUTH_MODE:required"]);
  onTestFinished(() => server.stop());
  const log = server.log();
  expect(log).toContain("There is no secrets file yet: docs/operations.md says how to make one");
  expect(log).toContain("It is not ready: ");
  expect(log).not.toContain("in the secrets file");
}, 120_000);

describe("a server", () => {
  const key = makeAdministratorKey();
  let state: string;
  let server: Server;

  beforeAll(async () => {
    state = path.join(directory, "state");
    const secrets = path.join(directory, "secrets.env");
    await writeFile(secrets, `AUTH_MODE=required\nADMIN_KEY=${key}\nSECRETS_KEYS=${makeSecretsKeys(new Date())}\n`, {
      mode: 0o600,
    });
    server = await startServer(state, [], ["--secrets-file", secrets]);
  }, 120_000);
  afterAll(() => server?.stop(), 30_000);

  test("says what to open and little else", () => {
    const [before = ""] = server.log().split("Stop it with Ctrl+C.");
    expect(before).toContain(`Dashboard  ${server.url}/dashboard\n`);
    expect(before).toContain(`Try it     ${server.url}/docs\n`);
    expect(before).toContain(`API        ${server.url}/api/v1/payments/\n`);
    expect(before).toContain(`State      ${state}\n`);
    expect(before.split("\n").length).toBeLessThanOrEqual(10);
    expect(server.log()).not.toMatch(/wrangler|WARNING|migration|not ready/i);
  });

  test("prints one readable line for a request, with its path and the id that the caller has", async () => {
    const get = (at: string, id: string) => fetch(server.url + at, { headers: { "X-Request-Id": id } });
    expect((await get("/api/v1/payments/17/?a=secret", "line-1")).status).toBe(401);
    expect((await get("/nope", "line-2")).status).toBe(404);
    const lines = () =>
      server
        .log()
        .split("\n")
        .filter((line) => /line-\d|payments\/17|nope/.test(line));
    await vi.waitFor(() => expect(lines()).toHaveLength(2));
    expect(lines()[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}GET \/api\/v1\/payments\/17\/? {2}401 {2}\d+ ms {2}line-1$/);
    expect(lines()[1]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}GET \/nope {2}404 {2}\d+ ms {2}line-2$/);
  });

  test("has its secrets from a file: no command line of the machine shows them", async () => {
    const merchants = () => fetch(`${server.url}/api/v1/merchants`, { headers: { Authorization: `Bearer ${key}` } });
    expect((await merchants()).status).toBe(200);
    const { stdout } = await type("ps -eo args");
    expect(stdout).toContain("scripts/start.ts");
    expect(stdout).not.toContain(key);
  });

  test("is the only one of its state, which is not removed under it either", async () => {
    const port = new URL(server.url).port;
    const ended = await type(`npm start -- --port 0 --persist-to ${state}`);
    expect(ended.code).toBe(1);
    expect(complaint(ended)).toContain(
      `A server already runs on ${state}: process ${server.pid}, http://localhost:${port}. Stop it, or`,
    );
    const reset = await type(`npm run reset -- --persist-to ${state}`);
    expect(reset.code).toBe(1);
    expect(complaint(reset)).toBe(`A server runs on ${state}: process ${server.pid}. Stop it first.`);
  });

  test("that is killed leaves nothing stuck, and after it each line is JSON when that is asked for", async () => {
    process.kill(server.pid, "SIGKILL");
    const { url } = server;
    server = await startServer(state, [], ["--json"]);
    await expect(fetch(`${url}/health`)).rejects.toThrow("fetch failed");
    expect((await fetch(`${server.url}/api/v1/payments/17`)).status).toBe(404);
    // The runtime complains of it in words of its own.
    await exchange(server.url, "GET / HTTP/1.1\r\nHost: 127.999.1.1\r\nConnection: close\r\n\r\n");
    await vi.waitFor(() => {
      expect(server.stdout()).toContain('"route":"/api/v1/payments/{payment_id}"');
      expect(server.log()).toContain('{"message":"runtime"');
    });
    const objects = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    const printed = objects(server.stdout());
    expect(printed[0]).toEqual({ message: "ready", url: server.url, state, problem: null });
    expect(printed).toContainEqual(expect.objectContaining({ message: "request", method: "GET", status: 404 }));
    expect(printed.every(({ message }) => typeof message === "string" && message !== "runtime")).toBe(true);
    // The error stream as well.
    expect(objects(server.log()).length).toBeGreaterThan(printed.length);
  }, 120_000);

  test("on a database of another base schema says what to type, and `npm run reset` then helps", async () => {
    await server.stop();
    const databases = path.join(state, "v3/d1/miniflare-D1DatabaseObject");
    const { stdout: files } = await type(`ls ${databases}`);
    const file = files.split("\n").find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)) ?? "";
    const database = new DatabaseSync(path.join(databases, file));
    database.exec("ALTER TABLE payments DROP COLUMN metadata");
    database.close();
    const refused = await type(`npm start -- --port 0 --persist-to ${state}`);
    expect(refused.code).toBe(1);
    expect(complaint(refused)).toBe(
      `The local state in ${state} was made by another version of the base schema. Remove it, with its payments, and start again: npm run reset -- --persist-to ${state}`,
    );
    await writeFile(path.join(state, "notes.txt"), "mine");
    const reset = await type(`npm run --silent reset -- --persist-to ${state}`);
    expect(reset).toEqual({ code: 0, stdout: `Removed the local state in ${state}\n`, stderr: "" });
    expect(await readFile(path.join(state, "notes.txt"), "utf8")).toBe("mine");
    server = await startServer(state);
    expect((await fetch(`${server.url}/api/v1/payments/1`)).status).toBe(404);
  }, 120_000);
});
