/** A TCP proxy before a server, whose wire can be cut, silenced and slowed. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** `silent`: nothing passes, nothing closes. `deaf`: requests pass, replies do not. */
type Mode = 'pass' | 'cut' | 'silent' | 'deaf';

interface Wire {
  readonly client: Socket;
  readonly server: Socket;
  /** Another program than the one that is to be disturbed. */
  isSpared: boolean;
}

export class Wires {
  #mode: Mode = 'pass';
  #delayMs = 0;
  #word: string | null = null;
  #onWord: () => void = () => undefined;
  #spared: string | null = null;
  readonly #wires = new Set<Wire>();
  readonly #listener: Server;

  private constructor(
    private readonly target: number,
    listener: Server,
  ) {
    this.#listener = listener;
    listener.on('connection', (client) => this.#accept(client));
  }

  /** @param target port of the server, on this machine */
  static async start(target: number): Promise<Wires> {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return new Wires(target, listener);
  }

  get port(): number {
    const address = this.#listener.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Connections whose first request names this text are left alone: the sentinel tells its name in its greeting. */
  spare(text: string): void {
    this.#spared = text;
  }

  pass(): void {
    this.#delayMs = 0;
    this.#change('pass');
  }

  /** Closes all connections, and every new one. */
  cut(): void {
    this.#change('cut');
  }

  /** Nothing passes and nothing closes. */
  blackHole(): void {
    this.#change('silent');
  }

  /** Requests arrive, replies do not. */
  dropReplies(): void {
    this.#change('deaf');
  }

  /** Each way. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** The next request with this word arrives at the server; its reply is lost, as everything is from then on. */
  cutAfter(word: string): Promise<void> {
    this.#word = word;
    return new Promise((resolve) => {
      this.#onWord = resolve;
    });
  }

  async close(): Promise<void> {
    this.#listener.close();
    for (const wire of this.#wires) this.#end(wire);
    await once(this.#listener, 'close').catch(() => undefined);
  }

  #change(mode: Mode): void {
    this.#mode = mode;
    // What was held back while it was silent is lost, as on a real network: such connections end.
    if (mode === 'cut' || mode === 'pass')
      for (const wire of this.#wires)
        if (!wire.isSpared && (mode === 'cut' || this.#isHeld.delete(wire))) this.#end(wire);
  }

  /** Wires on which something got lost. */
  readonly #isHeld = new Set<Wire>();

  #accept(client: Socket): void {
    const server = connect(this.target, '127.0.0.1');
    const wire: Wire = { client, server, isSpared: false };
    this.#wires.add(wire);
    let isFirst = true;
    client.on('data', (data: Buffer) => {
      if (isFirst && this.#spared !== null) wire.isSpared = data.includes(this.#spared);
      isFirst = false;
      this.#request(wire, data);
    });
    server.on('data', (data: Buffer) => this.#reply(wire, data));
    for (const socket of [client, server]) {
      socket.on('error', () => undefined);
      socket.on('close', () => this.#end(wire));
    }
  }

  #request(wire: Wire, data: Buffer): void {
    if (wire.isSpared) wire.server.write(data);
    else if (this.#mode === 'cut') this.#end(wire);
    else if (this.#mode === 'silent') this.#isHeld.add(wire);
    else if (this.#word !== null && data.includes(this.#word)) this.#lastRequest(wire, data);
    else this.#later(() => wire.server.write(data));
  }

  /** Written before it is cut: the server carries the request out, and nobody hears of it. */
  #lastRequest(wire: Wire, data: Buffer): void {
    this.#word = null;
    wire.server.write(data, () => {
      this.#mode = 'cut';
      for (const other of this.#wires) if (!other.isSpared) other.client.destroy();
      this.#onWord();
    });
  }

  #reply(wire: Wire, data: Buffer): void {
    if (wire.isSpared) wire.client.write(data);
    else if (this.#mode === 'silent' || this.#mode === 'deaf') this.#isHeld.add(wire);
    else if (this.#mode === 'pass') this.#later(() => wire.client.write(data));
  }

  #later(work: () => void): void {
    if (this.#delayMs === 0) work();
    else setTimeout(work, this.#delayMs);
  }

  #end(wire: Wire): void {
    this.#wires.delete(wire);
    this.#isHeld.delete(wire);
    wire.client.destroy();
    // The last request may still be on its way out.
    wire.server.end();
  }
}

/** The URI with the proxy in the place of its one server. */
export const throughProxy = (uri: string, proxy: Wires): string =>
  uri.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`);
