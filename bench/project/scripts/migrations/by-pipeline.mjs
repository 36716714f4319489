import { defineMigration, pipeline } from 'godwit';
import { PIPELINE } from '../../../peers/pipeline.mjs';

export default defineMigration({
  description: 'The same inside the server',
  steps: [pipeline({ collection: 'contacts', all: true, update: PIPELINE })],
});
