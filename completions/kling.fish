function _kling_completion
    set --global _kling_words (env _KLING_COMPLETE=complete_fish \
        _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) kling)
    test -n "$_kling_words"
end

complete --command kling --no-files --condition _kling_completion --arguments '$_kling_words'
