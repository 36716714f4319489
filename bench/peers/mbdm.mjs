/** mongo-bulk-data-migration, as its README has it: bulks of 1,000, with a backup of the projected fields. */
import mbdm from '@360-l/mongo-bulk-data-migration';
import { timed, updateOf } from './work.mjs';

const { FETCH_ALL, MongoBulkDataMigration } = mbdm;

await timed(async (_contacts, db) => {
  const write = console.log;
  // Its own log goes where nobody reads it: one line is printed here.
  console.log = () => undefined;
  const migration = new MongoBulkDataMigration({
    db,
    id: 'bench',
    collectionName: 'contacts',
    projection: { email: 1, fullName: 1 },
    query: FETCH_ALL,
    update: updateOf,
  });
  await migration.update();
  console.log = write;
});
