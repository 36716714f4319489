/** The loop that a careful team tunes by hand: ranges of `_id` side by side, each a cursor and `bulkWrite`s of 500. */
import { portions, ranges, timed, updateOf } from './work.mjs';

const WORKERS = Number(process.argv[2] ?? 4);
const SIZE = 500;

await timed(async (contacts) => {
  const work = async (filter) => {
    for await (const portion of portions(contacts.find(filter).sort({ _id: 1 }).batchSize(SIZE), SIZE))
      await contacts.bulkWrite(
        portion.map((document) => ({ updateOne: { filter: { _id: document._id }, update: updateOf(document) } })),
        { ordered: false },
      );
  };
  await Promise.all((await ranges(contacts, WORKERS)).map(work));
});
