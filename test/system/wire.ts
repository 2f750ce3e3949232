import { connect } from "node:net";

export interface Answer {
  status: number;
  headers: Headers;
  body: string;
}

/**
 * Sends a request byte by byte as given, for what `fetch` mends or refuses to send, and reads the answer
 * until the server closes the connection: the request must carry `Connection: close`.
 *
 * @param message each character is one byte, from 0x00 to 0xff
 * @param end closes this side after the message, in the middle of what it announced
 */
export async function exchange(url: string, message: string, { end = false } = {}): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) }, () =>
      end ? socket.end(message, "latin1") : socket.write(message, "latin1"),
    );
    socket.setTimeout(10_000, () => socket.destroy(new Error("No answer within 10 s")));
    socket.on("data", (chunk) => chunks.push(chunk));
    // A server that does not read all of a refused body may reset the connection behind its answer.
    socket.on("error", (error) => (chunks.length === 0 ? reject(error) : resolve()));
    socket.on("close", () => resolve());
  });
  return parse(Buffer.concat(chunks).toString("utf8"));
}

function parse(text: string): Answer {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [statusLine = "", ...lines] = head.split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1];
  if (status === undefined) throw new Error(`This is no HTTP answer: ${JSON.stringify(text)}`);
  const headers = new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(status), headers, body: rest.join("\r\n\r\n") };
}
