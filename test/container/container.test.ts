/**
 * The steps of Dockerfile and compose.yaml, without an engine: in an empty folder, with the files that the build would
 * get. What this cannot show is the base image itself, the user and the network between host and container.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { homedir, networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Instruction, readCopy, readDockerfile, readIgnore, words } from "./dockerfile";

const PROJECT = path.join(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(path.join(PROJECT, file), "utf8");
const DOCKERFILE = readDockerfile(read("Dockerfile"));
const COMPOSE = read("compose.yaml");
const isSent = readIgnore(read(".dockerignore"));

const all = (name: string) => DOCKERFILE.filter((instruction) => instruction.name === name).map(({ rest }) => rest);
/** What runs before the image's user is set. */
const ROOTS_RUNS = DOCKERFILE.slice(
  0,
  DOCKERFILE.findIndex(({ name }) => name === "USER"),
)
  .filter(({ name }) => name === "RUN")
  .map(({ rest }) => rest);
/** The slim base has no certificates of its own. */
const INSTALLS_CERTIFICATES =
  "apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*";
const [COMPOSE_COMMAND = ""] = /^ +command: (\[.*\])$/m.exec(COMPOSE)?.slice(1) ?? [];

describe("the image", () => {
  it("is not root when it installs and runs", () => {
    const user = DOCKERFILE.findIndex(({ name }) => name === "USER");
    expect(DOCKERFILE[user]?.rest).toBe("node");
    expect(all("USER")).toHaveLength(1);
    expect(ROOTS_RUNS.filter((rest) => rest !== INSTALLS_CERTIFICATES)).toEqual(["chown node:node /app"]);
  });

  it("has the certificates of the certificate authorities, without which the runtime does not start", () => {
    expect(ROOTS_RUNS).toContain(INSTALLS_CERTIFICATES);
  });

  it("has a Node that the project runs on", () => {
    expect(all("FROM")).toEqual(["node:22-bookworm-slim"]);
  });

  it("gets no secret and nothing that was made on this machine", () => {
    const made = [
      ".dev.vars",
      ".env",
      "secrets.env",
      "admin.key",
      ".wrangler/state/v3",
      "node_modules/x",
      ".git/config",
    ];
    expect(made.filter(isSent)).toEqual([]);
    expect(read("Dockerfile")).not.toMatch(/ADMIN_KEY|SECRETS_KEYS|^(ENV|ARG)/m);
  });

  it("alone asks for keys, and is published by compose.yaml to this machine only", () => {
    expect(words(all("CMD")[0] ?? "").slice(-2)).toEqual(["--var", "AUTH_MODE:required"]);
    expect(COMPOSE.match(/^ +- ".*:\d+"$/gm)).toEqual(['      - "127.0.0.1:8000:8000"']);
    expect(words(COMPOSE_COMMAND)).toEqual(words(all("CMD")[0] ?? "").slice(0, -2));
  });

  it("keeps its state in a named volume, where the server has it", () => {
    expect(COMPOSE).toMatch(/^ {6}- payments:\/app\/\.wrangler\/state$/m);
    expect(COMPOSE).toMatch(/^volumes:\n {2}payments:$/m);
    expect(all("RUN")).toContain("mkdir -p .wrangler/state");
  });
});

describe("its steps", () => {
  let app: string;
  let child: ChildProcess | undefined;
  let port: number;
  let log = "";

  /** What a container's process has: nothing of this one's. */
  const environment = () => ({
    PATH: process.env.PATH,
    HOME: path.join(app, "home"),
    CI: "1",
    NO_COLOR: "1",
    // This machine's certificates stand for those that the image installs; where it does not, nobody finds any.
    ...(ROOTS_RUNS.includes(INSTALLS_CERTIFICATES) ? {} : { SSL_CERT_FILE: "/nowhere", SSL_CERT_DIR: "/nowhere" }),
  });

  /** What a build has besides: this machine's way to the registry, and a cache of its own. */
  function buildEnvironment(): NodeJS.ProcessEnv {
    const network = Object.entries(process.env).filter(([name]) =>
      /(_|^)(proxy|certs?|ca|cafile|registry)(_|$)/i.test(name),
    );
    return {
      ...Object.fromEntries(network),
      npm_config_userconfig: process.env.npm_config_userconfig ?? path.join(homedir(), ".npmrc"),
      ...environment(),
    };
  }

  function follow({ name, rest }: Instruction): void {
    if (name === "COPY") {
      const { from, to } = readCopy(rest);
      for (const source of from) {
        const target = to.endsWith("/") ? path.join(app, to, source) : path.join(app, to);
        cpSync(path.join(PROJECT, source), target, {
          recursive: true,
          filter: (file) => {
            const relative = path.relative(PROJECT, file);
            return isSent(relative);
          },
        });
      }
    }
    // What root does is the image's own affair, and not this machine's.
    if (name === "RUN" && !ROOTS_RUNS.includes(rest)) {
      execFileSync("sh", ["-c", rest], { cwd: app, env: buildEnvironment(), stdio: "pipe" });
    }
  }

  const run = (command: readonly string[], more: readonly string[] = []) => {
    const here = command.map((word) => word.replace("localhost:8000", `localhost:${port}`));
    const [program = "", ...args] = [...here, ...more];
    const started = spawn(program, args, { cwd: app, env: environment(), detached: true });
    for (const stream of [started.stdout, started.stderr])
      stream.setEncoding("utf8").on("data", (text) => (log += text));
    return started;
  };

  beforeAll(async () => {
    app = mkdtempSync(path.join(tmpdir(), "payments-image-"));
    mkdirSync(path.join(app, "home"));
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const address = probe.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
    probe.close();
    for (const instruction of DOCKERFILE) follow(instruction);
    child = run(words(COMPOSE_COMMAND), ["--port", String(port), "--inspector-port", "0"]);
    const deadline = Date.now() + 90_000;
    while (!log.includes("Ready on") && child.exitCode === null && Date.now() < deadline) await pause(50);
    expect(log).toContain("Ready on");
  }, 400_000);

  afterAll(async () => {
    if (child?.pid !== undefined && child.exitCode === null) {
      process.kill(-child.pid, "SIGTERM");
      await once(child, "exit", { signal: AbortSignal.timeout(10_000) }).catch(() => {});
    }
    try {
      if (child?.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // All of it has ended.
    }
    // Some ten thousand files, which may take its time.
    rmSync(app, { recursive: true, force: true });
  }, 200_000);

  it("give a service that is ready, by its own health check too", async () => {
    expect((await fetch(`http://localhost:${port}/health/ready`)).status).toBe(200);
    const check = run(words(all("HEALTHCHECK")[0] ?? ""));
    const [code] = await once(check, "exit");
    expect(code).toBe(0);
  });

  it("give one that creates a payment, and keeps it in the volume's directory", async () => {
    const response = await fetch(`http://localhost:${port}/api/v1/payments/`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": "order-42" },
      body: JSON.stringify({ order_id: 42, amount: 99.99 }),
    });
    expect(response.status).toBe(201);
    const state = path.join(app, ".wrangler/state/v3/d1");
    const files = readdirSync(state, { recursive: true, encoding: "utf8" });
    const written = files
      .filter((file) => file.endsWith(".sqlite"))
      .map((file) => statSync(path.join(state, file)).size);
    expect(Math.max(...written)).toBeGreaterThan(0);
  });

  it("give one that other addresses of the machine reach, where it refuses by its host", async () => {
    const outside = Object.values(networkInterfaces()).flatMap((own) => own ?? []);
    const address = outside.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.2";
    const asked = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const asking = request(
          { host: address, port, path: "/api/v1/payments/1", headers: { Host: host } },
          (answer) => {
            answer.resume();
            resolve(answer.statusCode);
          },
        );
        asking.once("error", reject).end();
      });
    expect(await asked(`${address === "127.0.0.2" ? "payments" : address}:${port}`)).toBe(403);
    // As compose publishes it: from this machine, under the name that it was asked by.
    expect(await asked(`localhost:${port}`)).not.toBe(403);
  });

  it("leave no file behind that was not asked for", () => {
    expect(existsSync(path.join(app, "test"))).toBe(false);
    expect(existsSync(path.join(app, ".dev.vars"))).toBe(false);
  });
});
