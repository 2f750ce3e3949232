/** Somebody who uses the dashboard in a browser without scripts. */
import { exports } from "cloudflare:workers";
import { expect } from "vitest";

const ORIGIN = "http://localhost";

/** A page as the browser has it. */
export interface Page {
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
  /** Its text as a reader sees it: without tags, each run of white space one space. */
  readonly text: string;
  /** Where a redirect leads; null where the answer is none. */
  readonly location: string | null;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
  "&amp;": "&",
};

const decodeHtml = (html: string) => html.replaceAll(/&(lt|gt|quot|#39|amp);/g, (entity) => ENTITIES[entity] ?? entity);

/** The value of an attribute of the first tag that matches; null where there is none. */
function attribute(html: string, tag: RegExp, name: string): string | null {
  const found = tag.exec(html)?.[0];
  const value = found && new RegExp(` ${name}="([^"]*)"`).exec(found)?.[1];
  return value === undefined || value === "" ? null : decodeHtml(value);
}

export class Visitor {
  #cookie: string | null = null;
  #csrfToken: string | null = null;

  /** The cookie that the browser sends. */
  get cookie(): string | null {
    return this.#cookie;
  }

  async #request(method: string, path: string, form?: URLSearchParams, headers: HeadersInit = {}): Promise<Page> {
    const response = await exports.default.fetch(
      new Request(ORIGIN + path, {
        method,
        headers: {
          ...(this.#cookie !== null && { Cookie: this.#cookie }),
          ...(form && { "Content-Type": "application/x-www-form-urlencoded", Origin: ORIGIN }),
          ...headers,
        },
        redirect: "manual",
        ...(form && { body: form.toString() }),
      }),
    );
    const set = response.headers.get("Set-Cookie");
    if (set !== null) this.#cookie = set.includes("Max-Age=0") ? null : (set.split(";")[0] ?? null);
    const html = await response.text();
    this.#csrfToken = attribute(html, /<input[^>]* name="csrf_token"[^>]*>/, "value") ?? this.#csrfToken;
    const text = decodeHtml(html.replace(/<head>.*?<\/head>/s, "").replaceAll(/<[^>]*>/g, " ")).replaceAll(/\s+/g, " ");
    return {
      status: response.status,
      headers: response.headers,
      html,
      text,
      location: response.headers.get("Location"),
    };
  }

  /** Opens a page; a redirect is not followed. */
  open(path: string, headers: HeadersInit = {}): Promise<Page> {
    return this.#request("GET", path, undefined, headers);
  }

  /** Sends a form with the session's token. */
  send(path: string, fields: Readonly<Record<string, string>> | [string, string][] = {}): Promise<Page> {
    const form = new URLSearchParams(fields);
    if (!form.has("csrf_token")) form.set("csrf_token", this.#csrfToken ?? "");
    return this.#request("POST", path, form);
  }

  /** Opens the page of a form, fills some of its fields in, and sends it. */
  async fill(path: string, fields: Readonly<Record<string, string>> = {}): Promise<Page> {
    const page = await this.open(path);
    expect(page.status).toBe(200);
    const key = attribute(page.html, /<input[^>]* name="idempotency_key"[^>]*>/, "value");
    return this.send(path, { ...(key !== null && { idempotency_key: key }), ...fields });
  }
}

/** Signs in with a key, and is on the dashboard. */
export async function signIn(key: string): Promise<Visitor> {
  const visitor = new Visitor();
  await visitor.open("/dashboard/sign-in");
  const page = await visitor.send("/dashboard/sign-in", { key });
  expect([page.status, page.location]).toEqual([303, "/dashboard"]);
  await visitor.open("/dashboard");
  return visitor;
}
