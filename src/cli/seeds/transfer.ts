import { rm } from 'node:fs/promises';
import type { Command } from 'commander';
import type { CliIo } from '../io.js';
import { withStore } from '../with-store.js';
import { collectMetadata } from './metadata.js';
import { leasedSeed, unknownSeed } from './refusals.js';
import { readSecretFile, writeSecretFile } from './secret-file.js';

interface NewSeedFlags {
  pool: string;
  metadata?: Record<string, unknown>;
  force?: true;
  json?: true;
}

interface AddFlags extends NewSeedFlags {
  authJson: string;
  configToml?: string;
  move?: true;
}

interface ExportFlags {
  force?: true;
  keep?: true;
  json?: true;
}

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_ARCHIVE_BYTES = 16 * 1024 * 1024;

/** `codex-task seeds add | import | export` */
export function addSeedTransfer(seeds: Command, io: CliIo): void {
  newSeed(seeds.command('add'))
    .description('store a new seed from the auth.json that codex login wrote')
    .requiredOption('--auth-json <file>', '- for stdin; no codex may use it any longer')
    .option('--config-toml <file>', 'its config.toml')
    .option('--move', 'delete the auth.json once it is stored')
    .action((flags: AddFlags) => add(flags, io));

  newSeed(seeds.command('import'))
    .description('store a seed that was exported, here or by the Python package (tar.gz)')
    .argument('<file>')
    .action((file: string, flags: NewSeedFlags) => importFile(file, flags, io));

  seeds
    .command('export')
    .description(
      'write a seed to a new file, decrypted, and take it out of its pool: only the file is used from then on',
    )
    .argument('<seed-id>')
    .argument('<file>', 'a tar.gz that only you can read')
    .option('--keep', 'leave it in its pool: the file is a backup, never used at the same time')
    .option('--force', 'even when the seed is leased, or its expired lease is not cleared yet')
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, file: string, flags: ExportFlags) => exportTo(seedId, file, flags, io));
}

const newSeed = (command: Command): Command =>
  command
    .requiredOption('--pool <pool>', 'the pool to add it to')
    .option('--metadata <key=value>', 'metadata to store with the seed (repeatable)', collectMetadata)
    .option('--force', 'even a login that another seed has, which is taken out of use')
    .option('--json', 'one JSON line on stdout');

async function add({ authJson, configToml, move, ...flags }: AddFlags, io: CliIo): Promise<void> {
  const auth = await readSecretFile(authJson, MAX_FILE_BYTES, io);
  const config = configToml === undefined ? null : await readSecretFile(configToml, MAX_FILE_BYTES, io);
  const { insertSeed } = await import('../../store/seeds.js');
  const seed = { authJson: auth, ...(config && { configToml: config }), ...placementOf(flags) };
  const seedId = await withStore(io, (store) => insertSeed(store, seed));
  const isFile = authJson !== '-';
  if (isFile && move) await rm(authJson);
  const note = `Now delete ${authJson}: a codex that still uses it would lose the account.`;
  report(seedId, 'added', flags, io, isFile && !move ? `\n${note}` : '');
}

async function importFile(file: string, flags: NewSeedFlags, io: CliIo): Promise<void> {
  const archive = await readSecretFile(file, MAX_ARCHIVE_BYTES, io);
  const { importSeed } = await import('../../store/seeds.js');
  const seedId = await withStore(io, (store) => importSeed(store, archive, placementOf(flags)));
  report(seedId, 'imported', flags, io);
}

const placementOf = ({ pool, metadata, force }: NewSeedFlags) => ({
  pool,
  force: force === true,
  ...(metadata && { metadata }),
});

function report(seedId: string, done: string, { pool, json }: NewSeedFlags, io: CliIo, note = ''): void {
  const output = io.output(json);
  output.result({ seedId, pool }, `${output.paint.green(done)} ${seedId} to the pool ${pool}${note}`);
}

async function exportTo(
  seedId: string,
  file: string,
  { force = false, keep = false, json }: { force?: boolean; keep?: boolean; json?: true },
  io: CliIo,
): Promise<void> {
  const output = io.output(json);
  const { exportOut, takeBack } = await import('../../store/export-seed.js');
  const bytes = await withStore(io, async (store) => {
    const exported = await exportOut(store, seedId, { force, keep });
    if (exported.kind === 'unknown') throw unknownSeed(seedId);
    if (exported.kind === 'leased')
      throw leasedSeed(seedId, exported, 'its holder may change it at any time; wait, or --force');
    try {
      await writeSecretFile(file, exported.archive);
    } catch (error) {
      if (!keep && !exported.wasOut) await takeBack(store, seedId);
      throw error;
    }
    return exported.archive.length;
  });
  const rest = keep ? 'it stays in use here' : 'out of use here: seeds assign --pool takes it back';
  output.result(
    { seedId, file, bytes, kept: keep },
    `${output.paint.green('exported')} ${seedId} to ${file} (${bytes} bytes, not encrypted; ${rest})`,
  );
}
