/** A browser as far as the dashboard is concerned: it keeps cookies, knows the token of the page that it is on, and sends forms. */
import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { expect } from "vitest";
import { app } from "../../../src/app";

export interface Page {
  readonly status: number;
  readonly headers: Headers;
  /** The HTML. */
  readonly text: string;
  /** Where it leads; null where it leads nowhere. */
  readonly location: string | null;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };

/** The text that HTML stands for. */
export const textOf = (html: string): string =>
  html.replaceAll(/&([\w#]+);/g, (whole, name: string) => ENTITIES[name] ?? whole);

/** What the hidden and filled fields of a page hold, by their names. */
export function fieldsOf({ text }: Page): Record<string, string> {
  const tags = [...text.matchAll(/<input\b[^>]*>/g)].map(([tag]) => tag);
  const attribute = (tag: string, name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
  return Object.fromEntries(
    tags.flatMap((tag) => {
      const name = attribute(tag, "name");
      return name === undefined ? [] : [[name, textOf(attribute(tag, "value") ?? "")]];
    }),
  );
}

export class Browser {
  readonly cookies = new Map<string, string>();
  /** The last Set-Cookie header. */
  lastSetCookie: string | null = null;
  readonly #bindings: Env | undefined;
  readonly #headers: Readonly<Record<string, string>>;

  /**
   * @param bindings asks the app with these; without them the Worker as it is configured
   * @param headers goes with every request
   */
  constructor(bindings?: Env, headers: Readonly<Record<string, string>> = {}) {
    this.#bindings = bindings;
    this.#headers = headers;
  }

  /** Asks for a page, and follows no redirect. */
  async request(path: string, { method = "GET", headers = {}, body }: RequestOptions = {}): Promise<Page> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: { ...this.#headers, ...(cookie !== "" && { Cookie: cookie }), ...headers },
      ...(body !== undefined && { body }),
      redirect: "manual",
    });
    const response = this.#bindings
      ? await app.fetch(request, this.#bindings, createExecutionContext())
      : await exports.default.fetch(request);
    this.#keep(response.headers.get("Set-Cookie"));
    return {
      status: response.status,
      headers: response.headers,
      text: await response.text(),
      location: response.headers.get("Location"),
    };
  }

  /** Opens a page, and follows where it leads. */
  async open(path: string): Promise<Page> {
    const page = await this.request(path);
    return page.location === null ? page : this.open(page.location);
  }

  /** Sends a form as the browser of a page of this host does. */
  send(path: string, fields: Readonly<Record<string, string>> | URLSearchParams): Promise<Page> {
    return this.request(path, {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded", Origin: "http://localhost" },
      body: String(new URLSearchParams(fields)),
    });
  }

  /** Fills in the form of a page, and sends it with its hidden fields. */
  async fill(page: string, fields: Readonly<Record<string, string>>, target = page): Promise<Page> {
    return this.send(target, { ...fieldsOf(await this.open(page)), ...fields });
  }

  /** The token that the forms of this session bring back. */
  async csrfToken(page = "/dashboard/sign-in"): Promise<string> {
    return fieldsOf(await this.open(page)).csrf_token ?? "";
  }

  /** Signs in, and expects to come in. */
  async signIn(key: string, next?: string): Promise<Page> {
    const query = next === undefined ? "" : `?${new URLSearchParams({ next })}`;
    const page = await this.fill(`/dashboard/sign-in${query}`, { key }, "/dashboard/sign-in");
    expect(page.status).toBe(303);
    return page;
  }

  #keep(header: string | null): void {
    if (header === null) return;
    this.lastSetCookie = header;
    const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(header) ?? [];
    if (value === "") this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}

/** A browser that has signed in with a key. */
export async function signedIn(key: string, bindings?: Env): Promise<Browser> {
  const browser = new Browser(bindings);
  await browser.signIn(key);
  return browser;
}

/** A browser of open mode. */
export const openMode = (): Browser => new Browser({ ...env, AUTH_MODE: "open" });
