# As revoke.sh, for Windows: the holder gives the grant back, then its files go. Never fails the build.
$folder = $env:CLOUDANIX_JIT_FOLDER
function Warn($what) { [Console]::Error.WriteLine("cloudanix-jit: $what") }

if (-not (Test-Path $folder)) {
  Warn "nothing to give back: ``$folder`` is not there"
  exit 0
}
if (Test-Path "$folder\holder") {
  if ((Test-Path "$folder\code") -and (Test-Path "$folder\given")) {
    Warn 'the grant had ended before its block did'
    Warn '  hint: an abort of any step in this workspace ends it too, and so does a timeout'
  }
  Remove-Item "$folder\end" -ErrorAction SilentlyContinue
  # The program tries for six seconds and leaves the rest to its keeper.
  $holder = [int](Get-Content "$folder\holder")
  $tries = 0
  while (-not (Test-Path "$folder\code") -and (Get-Process -Id $holder -ErrorAction SilentlyContinue) -and $tries -lt 200) {
    Start-Sleep -Milliseconds 100
    $tries++
  }
  $shown = 0
  if (Test-Path "$folder\shown") { $shown = [int](Get-Content "$folder\shown") }
  Get-Content "$folder\log" -ErrorAction SilentlyContinue | Select-Object -Skip $shown | ForEach-Object { [Console]::Error.WriteLine($_) }
  if (-not (Test-Path "$folder\code")) {
    Warn 'the program that holds the grant has not ended, or was killed: the broker ends the grant when it stops beating'
  }
}
Remove-Item -Recurse -Force $folder -ErrorAction SilentlyContinue
exit 0
