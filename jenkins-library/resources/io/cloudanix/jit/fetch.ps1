# Prints the path of a `cloudanix-jit` that may be run; fetches it when it is not there. As fetch.sh, for Windows.
$ErrorActionPreference = 'Stop'

# A release writes both; they are empty in the source. One `<sha256>  <file>` a line, as in SHA256SUMS.
$pinnedVersion = ''
$pinnedSums = ''

function Fail($what, $hint) {
  [Console]::Error.WriteLine("cloudanix-jit: $what")
  [Console]::Error.WriteLine("  hint: $hint")
  exit 125
}

if ($env:CLOUDANIX_JIT_BINARY) {
  if (-not (Test-Path -PathType Leaf $env:CLOUDANIX_JIT_BINARY)) {
    Fail "CLOUDANIX_JIT_BINARY is ``$env:CLOUDANIX_JIT_BINARY``, which is not a program" 'expected the path of cloudanix-jit.exe'
  }
  Write-Output $env:CLOUDANIX_JIT_BINARY
  exit 0
}

$version = $pinnedVersion
if ($env:CLOUDANIX_JIT_VERSION) { $version = $env:CLOUDANIX_JIT_VERSION }
$version = $version -replace '^v', ''

$found = Get-Command cloudanix-jit -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
if ($found -and (-not $version -or (& $found.Source --version) -eq "cloudanix-jit $version")) {
  Write-Output $found.Source
  exit 0
}
if (-not $version) {
  Fail 'cloudanix-jit is not on the PATH, and no version is named' 'name one in CLOUDANIX_JIT_VERSION with its CLOUDANIX_JIT_SHA256, or a program in CLOUDANIX_JIT_BINARY'
}
# It becomes part of an address and of a path.
if ($version -notmatch '\A[0-9A-Za-z.+-]+\z') { Fail "CLOUDANIX_JIT_VERSION is ``$version``" 'expected a version like 1.2.3' }

$file = 'cloudanix-jit-x86_64-pc-windows-msvc.exe'
$expected = $env:CLOUDANIX_JIT_SHA256
if (-not $expected -and $version -eq $pinnedVersion) {
  $line = $pinnedSums -split "`n" | Where-Object { $_.Trim() -like "*  $file" } | Select-Object -First 1
  if ($line) { $expected = ($line.Trim() -split ' ')[0] }
}
if (-not $expected) {
  Fail "no checksum is known for $file $version, and nothing unchecked is run" 'give it in CLOUDANIX_JIT_SHA256: it is in SHA256SUMS of the release'
}
$mirror = 'https://github.com/cloudanix/cloudanix-jit/releases/download'
if ($env:CLOUDANIX_JIT_MIRROR) { $mirror = $env:CLOUDANIX_JIT_MIRROR }
$address = "$mirror/v$version/$file"
$program = "$env:CLOUDANIX_JIT_FOLDER\cloudanix-jit.exe"
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
try {
  Invoke-WebRequest -UseBasicParsing -TimeoutSec 120 -Uri $address -OutFile $program
} catch {
  Fail "cannot download $address" 'is the mirror (CLOUDANIX_JIT_MIRROR) reachable from here?'
}
$sum = (Get-FileHash -Algorithm SHA256 $program).Hash.ToLowerInvariant()
if ($sum -ne $expected) {
  Remove-Item $program
  Fail "the download is not what was expected: sha256 $expected wanted, $sum found" "was $address changed, or the checksum given for another machine?"
}
Write-Output $program
