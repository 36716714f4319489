/** What every contestant does to a document, and how it says how long that took. */
import { MongoClient } from 'mongodb';

/** As a transform. */
export function migrated({ fullName, email, ...rest }) {
  const [first, ...others] = fullName.split(' ');
  return { ...rest, email: email.trim().toLowerCase(), v: 2, name: { first, last: others.join(' ') } };
}

/** As an update of one document. */
export function updateOf({ fullName, email }) {
  const { email: lower, v, name } = migrated({ fullName, email });
  return { $set: { email: lower, v, name }, $unset: { fullName: '' } };
}

/** Runs `work` on the collection; prints its seconds, without the connecting. */
export async function timed(work) {
  const client = await new MongoClient(process.env.MONGODB_URI).connect();
  const contacts = client.db().collection('contacts', { writeConcern: { w: 'majority' } });
  const startedAt = performance.now();
  await work(contacts, client.db());
  console.log(JSON.stringify({ seconds: (performance.now() - startedAt) / 1_000 }));
  await client.close();
}

/** Bounds of `count` ranges of `_id`s, each as a filter. */
export async function ranges(contacts, count) {
  const total = await contacts.estimatedDocumentCount();
  const bounds = [];
  for (let at = 1; at < count; at += 1) {
    const [found] = await contacts
      .find({}, { projection: { _id: 1 }, sort: { _id: 1 } })
      .skip(Math.floor((total * at) / count))
      .limit(1)
      .toArray();
    if (found) bounds.push(found._id);
  }
  return [...bounds, null].map((to, at) => ({
    ...(at > 0 || to !== null
      ? { _id: { ...(at > 0 ? { $gte: bounds[at - 1] } : {}), ...(to === null ? {} : { $lt: to }) } }
      : {}),
  }));
}

/** The documents of a cursor, so many at a time. */
export async function* portions(cursor, size) {
  let portion = [];
  for await (const document of cursor) {
    portion.push(document);
    if (portion.length < size) continue;
    yield portion;
    portion = [];
  }
  if (portion.length > 0) yield portion;
}
