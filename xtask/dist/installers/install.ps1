# Installs `polis` for the current user. It needs no administrator and asks nothing.
#
#     powershell -ExecutionPolicy Bypass -File install.ps1
#
# It downloads the checksums of one release with their signature, verifies the signature with the
# key below, downloads the archive, compares it with its checksum, and only then replaces
# polis.exe in one step. Any mismatch ends it, and the old version stays installed.
#
#     POLIS_INSTALL_DIR   where polis.exe goes; %LOCALAPPDATA%\Programs\Polis by default
#     POLIS_INSTALL_URL   a mirror: the directory with the files of this release
#
# It needs Windows PowerShell 5.1 or PowerShell 7, and minisign: .NET has no Ed25519.
#
# It is one function that the last line calls, so that a truncated script runs nothing,
# and it throws instead of exiting, so that `iex` does not close the window it runs in.

function Install-Polis {
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    # The progress bar makes downloads in Windows PowerShell many times slower.
    $ProgressPreference = 'SilentlyContinue'
    # Exit codes are checked below, each with its own message.
    $PSNativeCommandUseErrorActionPreference = $false

    $label = @@label@@
    $comment = @@comment@@
    $key = @@key@@
    $base = @@base@@
    $repository = @@repository@@
    $targets = @@targets@@ -split ' '

    # Aborts: what happened, why, and what to do.
    function Stop-Installation([string] $Message, [string[]] $Lines) {
        $text = @("error: $Message") + @($Lines | ForEach-Object { "  $_" }) + @('  note: nothing was installed or changed')
        throw ($text -join "`n")
    }

    if ($env:OS -cne 'Windows_NT') {
        Stop-Installation 'this script installs on Windows' @('hint: run install.sh of the same release')
    }
    # In a 32-bit PowerShell, the second variable names the actual processor.
    $machine = $env:PROCESSOR_ARCHITECTURE
    if ($env:PROCESSOR_ARCHITEW6432) { $machine = $env:PROCESSOR_ARCHITEW6432 }
    if ($machine -cne 'AMD64') {
        Stop-Installation "there is no build of Polis for Windows on $machine" @("hint: see $repository for how to build it")
    }
    $target = 'x86_64-pc-windows-msvc'
    if ($targets -cnotcontains $target) {
        Stop-Installation "Polis $label was not released for $target" @("hint: choose another release at $repository/releases")
    }
    $top = "polis-$label-$target"
    $archive = "$top.zip"

    # https, and http only to this machine. Only the characters of plain URLs, because a user name
    # or a backslash could disguise another host as this machine.
    if ($env:POLIS_INSTALL_URL) { $base = $env:POLIS_INSTALL_URL }
    $base = $base.TrimEnd('/')
    $plain = $base -cmatch '\A[\]\[A-Za-z0-9.:/_~%+-]+\z'
    $secure = $base -cmatch '\Ahttps://.'
    $loopback = $base -cmatch '\Ahttp://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/|\z)'
    if (-not ($plain -and ($secure -or $loopback))) {
        Stop-Installation "invalid POLIS_INSTALL_URL: $base" @(
            'caused by: it must begin with https:// (http:// only for 127.0.0.1, [::1] and localhost), and have no user name and no query',
            "hint: remove POLIS_INSTALL_URL, or set it to the directory with $archive"
        )
    }

    $minisign = @(Get-Command -Name 'minisign' -CommandType Application -ErrorAction SilentlyContinue)
    if ($minisign.Count -eq 0) {
        Stop-Installation 'the signature of the release cannot be verified here' @(
            'caused by: minisign is not installed',
            'hint: winget install --exact --id jedisct1.minisign    (or: scoop install minisign), and run this again in a new window'
        )
    }

    $dir = $env:POLIS_INSTALL_DIR
    if (-not $dir) {
        if (-not $env:LOCALAPPDATA) {
            Stop-Installation 'LOCALAPPDATA is not set' @('hint: set POLIS_INSTALL_DIR to the directory for polis.exe')
        }
        $dir = Join-Path $env:LOCALAPPDATA 'Programs\Polis'
    }
    if (-not [IO.Path]::IsPathRooted($dir)) {
        Stop-Installation "POLIS_INSTALL_DIR is not an absolute path: $dir" @('hint: specify an absolute path')
    }
    $program = Join-Path $dir 'polis.exe'
    if (Test-Path -LiteralPath $program -PathType Container) {
        Stop-Installation "$program is a directory" @('hint: set POLIS_INSTALL_DIR to a directory that you own')
    }

    $unique = [Guid]::NewGuid().ToString('N')
    $work = Join-Path ([IO.Path]::GetTempPath()) "polis-install-$unique"
    $staged = Join-Path $dir ".polis-install-$unique.exe"
    $protocol = [Net.ServicePointManager]::SecurityProtocol
    try {
        # Windows PowerShell 5.1 may still offer TLS 1.0 first.
        [Net.ServicePointManager]::SecurityProtocol = $protocol -bor [Net.SecurityProtocolType]::Tls12
        try {
            [void] [IO.Directory]::CreateDirectory($work)
            [void] [IO.Directory]::CreateDirectory($dir)
            [IO.File]::WriteAllBytes($staged, [byte[]] @())
        } catch {
            Stop-Installation "cannot write to $dir" @("caused by: $($_.Exception.Message)", 'hint: set POLIS_INSTALL_DIR to a directory that you own')
        }

        $sums = Join-Path $work 'SHA256SUMS'
        $signature = "$sums.minisig"
        $packed = Join-Path $work $archive
        function Get-File([string] $Name, [string] $Path) {
            Write-Host "downloading $base/$Name"
            try {
                Invoke-WebRequest -UseBasicParsing -Uri "$base/$Name" -OutFile $Path
            } catch {
                Stop-Installation "cannot download $base/$Name" @("caused by: $($_.Exception.Message)", 'hint: check the network and run this again')
            }
        }
        Get-File 'SHA256SUMS' $sums
        Get-File 'SHA256SUMS.minisig' $signature

        # The comment must name this release, so that validly signed files of an older one are
        # rejected. `ED` signs a BLAKE2b digest; in Base64 it is RU and a letter.
        $advice = "hint: do not use these files; report it at $repository/issues"
        $lines = [IO.File]::ReadAllLines($signature)
        if ($lines.Count -ne 4 -or $lines[1] -cnotmatch '\ARU[QRST]') {
            Stop-Installation 'the signature of SHA256SUMS is not valid' @('caused by: SHA256SUMS.minisig is not a signature of a Polis release', $advice)
        }
        # minisign's standard error goes to the window, because capturing it in Windows
        # PowerShell turns it into an error.
        $signed = @(& $minisign[0].Path -V -Q -P $key -m $sums -x $signature)
        if ($LASTEXITCODE -ne 0) {
            Stop-Installation 'the signature of SHA256SUMS is not valid' @("caused by: minisign exited with code $LASTEXITCODE", $advice)
        }
        if (($signed -join "`n") -cne $comment) {
            Stop-Installation 'the signature of SHA256SUMS is not valid' @("caused by: it is for another release, expected ``$comment``", $advice)
        }
        Write-Host 'verified the signature of SHA256SUMS with minisign'

        # The only checksum of the archive. Two would be ambiguous.
        $pattern = '\A([0-9a-f]{64})  ' + [Regex]::Escape($archive) + '\z'
        $found = @([IO.File]::ReadAllLines($sums) | Where-Object { $_.EndsWith("  $archive", [StringComparison]::Ordinal) })
        if ($found.Count -ne 1 -or $found[0] -cnotmatch $pattern) {
            Stop-Installation "SHA256SUMS does not have exactly one checksum for $archive" @("hint: report it at $repository/issues")
        }
        $expected = $found[0].Substring(0, 64)
        Get-File $archive $packed
        $actual = (Get-FileHash -LiteralPath $packed -Algorithm SHA256).Hash.ToLowerInvariant()
        if ($actual -cne $expected) {
            Stop-Installation "$archive is not the file that was released" @(
                "caused by: its SHA-256 is $actual, expected $expected",
                'hint: run this again; if the error persists, the download was tampered with'
            )
        }
        Write-Host "verified the checksum of $archive"

        # Extracts only the program, by its exact path.
        try {
            Add-Type -AssemblyName 'System.IO.Compression'
            Add-Type -AssemblyName 'System.IO.Compression.FileSystem'
            $zip = [IO.Compression.ZipFile]::OpenRead($packed)
            try {
                $entries = @($zip.Entries | Where-Object { $_.FullName -ceq "$top/polis.exe" })
                if ($entries.Count -ne 1) { throw "it has $($entries.Count) entries $top/polis.exe, expected one" }
                [IO.Compression.ZipFileExtensions]::ExtractToFile($entries[0], $staged, $true)
            } finally {
                $zip.Dispose()
            }
        } catch {
            Stop-Installation "cannot unpack $archive" @("caused by: $($_.Exception.Message)", "hint: make space in $dir")
        }

        # Runs once before it replaces the old one. A program that cannot start throws.
        try {
            $said = @(& $staged --version) -join ' '
            $code = $LASTEXITCODE
        } catch {
            $said = $_.Exception.Message
            $code = -1
        }
        if ($code -ne 0 -or $said -cne "polis $label") {
            Stop-Installation "$archive contains another program, or one that does not run on this machine" @(
                "caused by: polis --version exited with code $code and printed ``$said``, expected ``polis $label``",
                "hint: report it at $repository/issues"
            )
        }
        try {
            if (Test-Path -LiteralPath $program) {
                # PowerShell passes $null to .NET as an empty path.
                [IO.File]::Replace($staged, $program, [NullString]::Value)
            } else {
                [IO.File]::Move($staged, $program)
            }
        } catch {
            Stop-Installation "cannot replace $program" @("caused by: $($_.Exception.Message)", 'hint: stop all running polis processes, and run this again')
        }
    } finally {
        [Net.ServicePointManager]::SecurityProtocol = $protocol
        Remove-Item -LiteralPath $staged -Force -ErrorAction SilentlyContinue
        Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue
    }

    Write-Host "installed polis $label in $dir"
    Write-Host 'next:'
    if (($env:Path -split ';') -notcontains $dir) {
        Write-Host "  add $dir to Path: Settings, System, About, Advanced system settings, Environment Variables"
    }
    Write-Host '  polis doctor   # check what is missing on this machine'
    Write-Host '  polis start    # start the workspace'
}

Install-Polis
