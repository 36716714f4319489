/**
 * Documents as the bytes that the server sent, from a command that answers with a cursor.
 *
 * Not by the driver's own cursors with `raw`: of a command and of an aggregation, driver 7.9 then takes the fields of an
 * error as bytes as well, is left with a `topologyVersion` that it cannot compare, and throws a TypeError in
 * the place of the next error of that server (seen after step-downs; test/crash/elections.test.ts). Here only the documents
 * stay bytes.
 */
import type { ClientSession, Db, Document } from 'mongodb';

interface Reply {
  readonly cursor: {
    readonly id: unknown;
    /** Database and collection; of documents that are in none, `$cmd.aggregate`. */
    readonly ns: string;
    readonly firstBatch?: Buffer[];
    readonly nextBatch?: Buffer[];
  };
}

const AS_BYTES = { fieldsAsRaw: { firstBatch: true, nextBatch: true }, promoteLongs: false } as const;

const collectionOf = ({ cursor: { ns } }: Reply): string => ns.slice(ns.indexOf('.') + 1);

const isOpen = ({ cursor: { id } }: Reply): boolean => String(id) !== '0';

/**
 * @param command such as `find` or `aggregate`, with the size of its first batch in it
 * @returns ends the cursor when it is left before its end
 */
export async function* rawDocuments(db: Db, command: Document, session?: ClientSession): AsyncGenerator<Buffer> {
  // A cursor belongs to the session that made it.
  const owner = session ?? db.client.startSession();
  const ask = async (what: Document): Promise<Reply> =>
    (await db.command(what, { session: owner, ...AS_BYTES })) as Reply;
  let reply: Reply | undefined;
  try {
    reply = await ask(command);
    yield* reply.cursor.firstBatch ?? [];
    while (isOpen(reply)) {
      reply = await ask({ getMore: reply.cursor.id, collection: collectionOf(reply) });
      yield* reply.cursor.nextBatch ?? [];
    }
  } finally {
    if (reply && isOpen(reply))
      await ask({ killCursors: collectionOf(reply), cursors: [reply.cursor.id] }).catch(() => undefined);
    if (!session) await owner.endSession();
  }
}
