/**
 * Inserts documents as the bytes that they are, which no driver does: an OP_MSG written to the server's port. For
 * stored BSON that JavaScript cannot carry (invalid UTF-8, doubled names). A server without access control only.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { deserialize, serialize } from 'bson';

const OP_MSG = 2013;
const HEADER_BYTES = 16;

/** `mongodb://host:port/…` → where its first server listens. */
function addressOf(uri: string): { readonly host: string; readonly port: number } {
  const [, host, port] = /^mongodb:\/\/(?:[^@/]*@)?([^:/,]+):(\d+)/.exec(uri) ?? [];
  if (!host || !port) throw new Error('wanted a URI with a host and a port');
  return { host, port: Number(port) };
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

/** Section kind 0: the command. Section kind 1: its `documents`, one after the other. */
function insertMessage(database: string, collection: string, documents: readonly Uint8Array[]): Buffer {
  const command = serialize({ insert: collection, ordered: true, $db: database });
  const sequence = Buffer.concat([Buffer.from('documents\0'), ...documents]);
  const body = [int32(0), Buffer.from([0]), command, Buffer.from([1]), int32(4 + sequence.length), sequence];
  const length = HEADER_BYTES + body.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([int32(length), int32(1), int32(0), int32(OP_MSG), ...body]);
}

/** Inserts the documents, byte for byte. */
export async function rawInsert(
  uri: string,
  database: string,
  collection: string,
  documents: readonly Uint8Array[],
): Promise<void> {
  const socket = connect(addressOf(uri));
  try {
    await once(socket, 'connect');
    socket.write(insertMessage(database, collection, documents));
    let answer: Buffer = Buffer.alloc(0);
    while (answer.length < 4 || answer.length < answer.readInt32LE(0)) {
      const [part] = (await once(socket, 'data')) as [Buffer];
      answer = Buffer.concat([answer, part]);
    }
    const { ok, n, ...rest } = deserialize(answer.subarray(HEADER_BYTES + 5));
    if (ok !== 1 || n !== documents.length) throw new Error(`the server did not insert them: ${JSON.stringify(rest)}`);
  } finally {
    socket.destroy();
  }
}

/** The bytes of a document with every `placeholder` in it replaced by bytes of the same number. */
export function patched(document: object, placeholder: string, bytes: Uint8Array): Buffer {
  const found = Buffer.from(serialize(document));
  if (Buffer.byteLength(placeholder) !== bytes.length) throw new Error('wanted as many bytes as the placeholder has');
  let count = 0;
  for (let at = found.indexOf(placeholder); at >= 0; at = found.indexOf(placeholder, at + bytes.length)) {
    found.set(bytes, at);
    count += 1;
  }
  if (count === 0) throw new Error('wanted the placeholder in the document, found none');
  return found;
}
