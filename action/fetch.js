// Where is a `cloudanix-jit` that may be run? It is fetched when it is not there.
//
// In this order: the program that was named; one on the PATH, with the expected checksum if one is known, else of the
// wanted version if one is wanted; a download whose checksum is known. What does not have the expected checksum is
// never run, and what is asked for its version gets an empty environment.
'use strict'

const { execFileSync } = require('node:child_process')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Failure } = require('./github.js')

// A release writes both; they are empty in the source. One `<sha256>  <file>` a line, as in SHA256SUMS.
const pinnedVersion = ''
const pinnedSums = ''

const RELEASES = 'https://github.com/cloudanix/cloudanix-jit/releases/download'
const FILES = {
  'linux/x64': 'cloudanix-jit-x86_64-unknown-linux-musl',
  'linux/arm64': 'cloudanix-jit-aarch64-unknown-linux-musl',
  'darwin/x64': 'cloudanix-jit-universal-apple-darwin',
  'darwin/arm64': 'cloudanix-jit-universal-apple-darwin',
  'win32/x64': 'cloudanix-jit-x86_64-pc-windows-msvc.exe',
}
const PROGRAM = process.platform === 'win32' ? 'cloudanix-jit.exe' : 'cloudanix-jit'

/** The path of the program; `folder` is one of our own, for a download. `env` holds the settings. */
function find(env, folder) {
  const named = env.CLOUDANIX_JIT_BINARY
  const given = (env.CLOUDANIX_JIT_SHA256 || '').toLowerCase()
  if (named) {
    if (!isProgram(named)) {
      throw new Failure(
        `CLOUDANIX_JIT_BINARY is \`${named}\`, which is not a program`,
        'expected the path of cloudanix-jit, executable',
      )
    }
    // What is named is not what a release pins; a checksum beside it is for it.
    if (given && sumOf(named) !== given) {
      throw new Failure(
        'CLOUDANIX_JIT_BINARY has not the checksum in CLOUDANIX_JIT_SHA256',
        'correct one of them (the inputs `binary` and `sha256`), or unset the checksum',
      )
    }
    return named
  }
  const version = (env.CLOUDANIX_JIT_VERSION || pinnedVersion).replace(/^v/, '')
  const file = FILES[`${process.platform}/${process.arch}`]
  const expected = given || (version && version === pinnedVersion ? pinned(file) : '')
  // It is only asked for its version when its checksum cannot say which it is.
  const isWanted = (program) =>
    expected ? sumOf(program) === expected : !version || versionOf(program) === `cloudanix-jit ${version}`
  const found = allOnPath(PROGRAM).find((program) => isOnlyOurs(program) && isWanted(program))
  if (found) return found
  if (!version) {
    throw new Failure(
      'cloudanix-jit is not on the PATH, and no version is named',
      'name one in CLOUDANIX_JIT_VERSION with its CLOUDANIX_JIT_SHA256, or a program in CLOUDANIX_JIT_BINARY ' +
        '(the inputs `version`, `sha256` and `binary`)',
    )
  }
  // It becomes part of an address.
  if (!/^[0-9A-Za-z.+-]+$/.test(version)) {
    throw new Failure(`CLOUDANIX_JIT_VERSION is \`${version}\``, 'expected a version like 1.2.3')
  }
  return fetched(env, version, file, expected, path.join(folder, PROGRAM))
}

function fetched(env, version, file, expected, program) {
  if (!file) {
    throw new Failure(
      `there is no release for ${os.type()} on ${os.machine()}`,
      'build it from source, and name it in CLOUDANIX_JIT_BINARY',
    )
  }
  if (!expected) {
    throw new Failure(
      `no checksum is known for ${file} ${version}, and nothing unchecked is run`,
      'give it in CLOUDANIX_JIT_SHA256 (the input `sha256`): it is in SHA256SUMS of the release',
    )
  }
  const address = `${env.CLOUDANIX_JIT_MIRROR || RELEASES}/v${version}/${file}`
  try {
    // A process of its own: only when it starts does Node learn to use the proxy of the environment.
    const proxied = { ...networkOf(env), NODE_USE_ENV_PROXY: '1' }
    const download = [path.join(__dirname, 'download.js'), address, program]
    execFileSync(process.execPath, download, { env: proxied, stdio: ['ignore', 'inherit', 'inherit'] })
  } catch {
    fs.rmSync(program, { force: true })
    throw new Failure(
      `cannot download ${address}`,
      'is the mirror (CLOUDANIX_JIT_MIRROR, the input `mirror`) reachable from here?',
    )
  }
  const sum = sumOf(program)
  if (sum !== expected) {
    fs.rmSync(program, { force: true })
    throw new Failure(
      `the download is not what was expected: sha256 ${expected} wanted, ${sum} found`,
      `was ${address} changed, or the checksum given for another machine?`,
    )
  }
  fs.chmodSync(program, 0o700)
  return program
}

function pinned(file) {
  const line = pinnedSums.split('\n').find((line) => line.split(/\s+/)[1] === file)
  return line ? line.split(/\s+/)[0] : ''
}

/** Nothing secret is among what a download needs. */
function networkOf(env) {
  const needed = /^(https?_proxy|no_proxy|node_extra_ca_certs|path|systemroot)$/i
  return Object.fromEntries(Object.entries(env).filter(([name]) => needed.test(name)))
}

function sumOf(program) {
  return createHash('sha256').update(fs.readFileSync(program)).digest('hex')
}

/** Where a program is on the PATH, if it is. */
function onPath(name) {
  return allOnPath(name)[0]
}

function allOnPath(name) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(path.isAbsolute)
  return folders.map((folder) => path.join(folder, name)).filter(isProgram)
}

/** Not where everybody on the machine could have put it. */
function isOnlyOurs(program) {
  const everybodyWrites = 0o002
  const isOpen = (place) => (fs.statSync(place).mode & everybodyWrites) !== 0
  return process.platform === 'win32' || ![path.dirname(program), program].some(isOpen)
}

function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

function versionOf(program) {
  try {
    // Windows starts nothing without this one.
    const { SystemRoot } = process.env
    const env = SystemRoot ? { SystemRoot } : {}
    return execFileSync(program, ['--version'], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}

module.exports = { find, onPath }
