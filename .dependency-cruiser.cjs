/** The rules of the tree (docs/architecture.md): what may import what. */
const roles = ['write-side', 'projections', 'sagas', 'read-api']
// An adapter is named after its technology. Only composition, tests and other adapters of that technology know it.
const adapter =
  '^platform/(embedded-postgres|postgres-|log-event-feed|simulated-|guarded-|http-payment|eventstoredb-|kafka-|redis-|elasticsearch-)'
const tests = '(\\.test\\.ts|\\.contract\\.ts)$|^test/|^bench/'

module.exports = {
  forbidden: [
    {
      name: 'schemas-import-nothing-of-ours',
      severity: 'error',
      from: { path: '^schemas/', pathNot: tests },
      to: { path: `^(${roles.join('|')}|platform|bench|test)/` },
    },
    ...roles.map((role) => ({
      name: `${role}-imports-no-other-role`,
      comment: 'Two doors are open: the saga may call the command handler, read-api the rebuild and verify services.',
      severity: 'error',
      from: { path: `^${role}/`, pathNot: tests },
      to: {
        path: `^(${roles.filter((other) => other !== role).join('|')})/`,
        pathNot:
          role === 'sagas'
            ? '^write-side/command-handler\\.ts$'
            : role === 'read-api'
              ? '^projections/(rebuild|verify)\\.ts$'
              : '^$',
      },
    })),
    {
      name: 'platform-knows-no-role',
      comment: 'The composition and the command line put the roles together; nothing else in platform/ knows them.',
      severity: 'error',
      from: { path: '^platform/', pathNot: `^platform/(compose|cli)|${tests}` },
      to: { path: `^(${roles.join('|')})/` },
    },
    {
      name: 'only-composition-imports-an-adapter',
      severity: 'error',
      from: { pathNot: `^platform/compose[a-z-]*\\.ts$|${adapter}|${tests}` },
      to: { path: adapter },
    },
    { name: 'nothing-imports-tests', severity: 'error', from: { pathNot: tests }, to: { path: tests } },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: `${tests}|\\.config\\.ts$|^platform/cli\\.ts$` },
      to: {},
    },
    { name: 'nothing-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-development-packages-in-the-product',
      severity: 'error',
      from: { path: '^(schemas|write-side|projections|sagas|read-api|platform)/', pathNot: tests },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|bench/node_modules)/' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
