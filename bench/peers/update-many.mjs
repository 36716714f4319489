/** A pipeline in the server, without anything around it: one `updateMany`, or one per 5,000 `_id`s, two at a time. */
import { PIPELINE } from './pipeline.mjs';
import { portions, timed } from './work.mjs';

const CHUNK = 5_000;
const isChunked = process.argv[2] === 'chunked';

await timed(async (contacts) => {
  if (!isChunked) return contacts.updateMany({}, PIPELINE);
  const ids = portions(
    contacts.find({}, { projection: { _id: 1 }, sort: { _id: 1 } }).map(({ _id }) => _id),
    CHUNK,
  );
  const work = async () => {
    for (let next = await ids.next(); !next.done; next = await ids.next()) {
      const [first, last] = [next.value[0], next.value.at(-1)];
      await contacts.updateMany({ _id: { $gte: first, $lte: last } }, PIPELINE);
    }
  };
  return Promise.all([work(), work()]);
});
