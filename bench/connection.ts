/** One keep-alive connection that sends a request at a time: HTTP/1.1 with as little work as possible. */
import net from "node:net";

/** How long an answer may take, in milliseconds. */
const TIMEOUT_MS = 20_000;

export interface Reply {
  readonly status: number;
  readonly body: string;
}

export class Connection {
  #socket: net.Socket;
  #received = "";
  #settle: ((reply: Reply | Error) => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true).setEncoding("latin1").setTimeout(TIMEOUT_MS);
    socket.on("data", (text: string) => this.#read(text));
    socket.on("timeout", () => socket.destroy(new Error(`No answer in ${TIMEOUT_MS} ms`)));
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("The server closed the connection")));
  }

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Connection(socket)));
    });
  }

  /** Sends one request, as text, and reads its answer. */
  send(request: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#settle = (reply) => (reply instanceof Error ? reject(reply) : resolve(reply));
      this.#socket.write(request, "latin1");
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(reply: Reply | Error): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(reply);
  }

  #read(text: string): void {
    this.#received += text;
    const end = this.#received.indexOf("\r\n\r\n") + 4;
    if (end === 3) return;
    const body = readBody(this.#received.slice(0, end), this.#received, end);
    if (body === undefined) return;
    const status = Number(this.#received.slice(9, 12));
    this.#received = "";
    this.#end({ status, body });
  }
}

/** The body once all of it is there. With one request at a time, nothing follows it. */
function readBody(head: string, received: string, start: number): string | undefined {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (length) {
    const end = start + Number(length[1]);
    return received.length >= end ? received.slice(start, end) : undefined;
  }
  if (!received.endsWith("0\r\n\r\n")) return undefined;
  // Chunks: the length in hexadecimal on a line of its own, then that many bytes.
  let body = "";
  for (let at = start; ; ) {
    const line = received.indexOf("\r\n", at);
    const size = Number.parseInt(received.slice(at, line), 16);
    if (!(size > 0)) return size === 0 ? body : undefined;
    body += received.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}
