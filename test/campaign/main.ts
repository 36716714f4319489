import { MAIN } from '../support/command.js';
import { drawSchedule } from './draw.js';
import { play } from './play.js';
import { CampaignServer } from './server.js';

const [from, to] = process.argv.slice(2).map(Number) as [number, number];
const server = await CampaignServer.start();
for (let seed = from; seed < to; seed += 1) {
  const schedule = drawSchedule(seed);
  try {
    const played = await play(schedule, server, MAIN);
    console.log(seed, played.seconds.toFixed(1), played.hits.join('; '), played.violations.length);
    if (played.violations.length > 0 || process.env['V']) {
      console.log(JSON.stringify(schedule));
      console.log(
        played.timeline
          .map((l) => l.slice(0, 600))
          .slice(0, 80)
          .join('\n'),
      );
    }
  } catch (e) {
    console.log(seed, 'ERROR', JSON.stringify(schedule), e);
  }
}
await server.stop();
