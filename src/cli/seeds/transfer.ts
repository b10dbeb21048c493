import type { Command } from 'commander';
import type { CliIo } from '../io.js';
import { withStore } from '../with-store.js';
import { collectMetadata } from './metadata.js';
import { leasedSeed, unknownSeed } from './refusals.js';
import { readSecretFile, writeSecretFile } from './secret-file.js';

interface NewSeedFlags {
  pool: string;
  metadata?: Record<string, unknown>;
  json?: true;
}

interface AddFlags extends NewSeedFlags {
  authJson: string;
  configToml?: string;
}

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_ARCHIVE_BYTES = 16 * 1024 * 1024;

/** `codex-task seeds add | import | export` */
export function addSeedTransfer(seeds: Command, io: CliIo): void {
  newSeed(seeds.command('add'))
    .description('store a new seed: the auth.json that codex login has written')
    .requiredOption('--auth-json <file>', '- for stdin; no codex may go on using it')
    .option('--config-toml <file>', 'its config.toml')
    .action((flags: AddFlags) => add(flags, io));

  newSeed(seeds.command('import'))
    .description('store a seed that was exported, here or by the Python package (tar.gz)')
    .argument('<file>')
    .action((file: string, flags: NewSeedFlags) => importFile(file, flags, io));

  seeds
    .command('export')
    .description('write a seed to a new file, decrypted; only one of the two may be used from then on')
    .argument('<seed-id>')
    .argument('<file>', 'a tar.gz that only you can read')
    .option('--force', 'also when the seed is leased')
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, file: string, flags: { force?: true; json?: true }) =>
      exportTo(seedId, file, flags, io),
    );
}

const newSeed = (command: Command): Command =>
  command
    .requiredOption('--pool <pool>', 'the pool that it joins')
    .option('--metadata <key=value>', 'kept with the seed (repeatable)', collectMetadata)
    .option('--json', 'one JSON line on stdout');

async function add({ authJson, configToml, ...flags }: AddFlags, io: CliIo): Promise<void> {
  const auth = await readSecretFile(authJson, MAX_FILE_BYTES, io);
  const config = configToml === undefined ? null : await readSecretFile(configToml, MAX_FILE_BYTES, io);
  const { insertSeed } = await import('../../store/seeds.js');
  const seed = { authJson: auth, ...(config && { configToml: config }), ...placementOf(flags) };
  report(await withStore(io, (store) => insertSeed(store, seed)), 'added', flags, io);
}

async function importFile(file: string, flags: NewSeedFlags, io: CliIo): Promise<void> {
  const archive = await readSecretFile(file, MAX_ARCHIVE_BYTES, io);
  const { importSeed } = await import('../../store/seeds.js');
  const seedId = await withStore(io, (store) => importSeed(store, archive, placementOf(flags)));
  report(seedId, 'imported', flags, io);
}

const placementOf = ({ pool, metadata }: NewSeedFlags) => ({ pool, ...(metadata && { metadata }) });

function report(seedId: string, done: string, { pool, json }: NewSeedFlags, io: CliIo): void {
  const output = io.output(json);
  output.result({ seedId, pool }, `${output.paint.green(done)} ${seedId} to the pool ${pool}`);
}

async function exportTo(
  seedId: string,
  file: string,
  { force = false, json }: { force?: true | false; json?: true },
  io: CliIo,
): Promise<void> {
  const output = io.output(json);
  const [{ exportSeed }, { findSeedInfo }] = await Promise.all([
    import('../../store/seeds.js'),
    import('../../store/seed-info.js'),
  ]);
  const archive = await withStore(io, async (store) => {
    const seed = await findSeedInfo(store, seedId);
    if (seed?.leased && !force)
      throw leasedSeed(
        seedId,
        { holder: seed.holder, until: seed.leasedUntil },
        'its holder may change it at any time; wait, or --force',
      );
    return exportSeed(store, seedId);
  });
  if (!archive) throw unknownSeed(seedId);
  await writeSecretFile(file, archive);
  output.result(
    { seedId, file, bytes: archive.length },
    `${output.paint.green('exported')} ${seedId} to ${file} (${archive.length} bytes, not encrypted)`,
  );
}
